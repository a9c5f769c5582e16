"""Checks the declaration of a task when it is registered, so that its jobs do not all fail later."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

from jobsched.domain import JobschedError, is_visible

#: The most characters of a task's name: the column in the table of jobs is that wide.
LONGEST_NAME = 100
#: The longest ``timeout_s``, a year. The system's timers accept no much larger number.
LONGEST_TIMEOUT_S = 31_536_000.0
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMELESS = "it has no name; give it one: @task(name=...)"
_SHAPE = "a task takes the payload, and as a second parameter without a default the Run"


class BadTask(JobschedError, ValueError):
    """A task that can not be registered. The message names it and all that is wrong with it."""

    def __init__(self, what: object, faults: list[str]) -> None:
        super().__init__(f"{_described(what)} can not be a task: {'; '.join(faults)}")


def wants_run(function: Callable[..., Any], label: object, numbers: dict[str, Any], run_type: type) -> bool:
    """Whether the task takes the Run besides the payload.

    ``label`` is the task's name. ``numbers`` are its ``retries``, ``backoff_s`` and ``timeout_s``. ``run_type`` is the
    class of the Run: a second parameter with this annotation is the Run, whatever its name. Raises BadTask.
    """
    faults = [*_of_kind(function), *_of_name(label), *_of_numbers(**numbers)]
    second = None
    if not faults:
        try:
            second = _second(function, run_type)
        except TypeError as error:
            faults.append(str(error))
    if second is not None and not _is_run(second, run_type):
        faults.append(f"its second parameter, {second.name!r}, has a default, and would get the Run; {_SHAPE}")
    if faults:
        raise BadTask(function, faults)
    return second is not None


def _of_kind(function: Any) -> Iterator[str]:
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    codes = (inner, getattr(inner, "__call__", None))  # noqa: B004 - an object may be called by a method of its class
    if inspect.isclass(inner):
        yield "it is a class; register a function"
    elif not callable(inner):
        yield "it can not be called"
    elif any(inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code) for code in codes):
        yield "it is async, and a call of it would do nothing; call asyncio.run in a plain function"
    elif any(inspect.isgeneratorfunction(code) for code in codes):
        yield "it is a generator function (it has a yield), and a call of it would do nothing; return a value"
    elif hasattr(inner, "cache_parameters"):
        yield "it is cached by what it is given (functools.cache), and a payload (a dict) is no key; cache within it"


def _of_name(label: object) -> Iterator[str]:
    if not isinstance(label, str):
        yield f"its name must be a text, not {label!r}" if label is not None else _NAMELESS
    elif label == "<lambda>":
        yield _NAMELESS
    elif not label or len(label) > LONGEST_NAME or label != label.strip() or not all(
            character == " " or is_visible(character) for character in label):
        yield f"its name must have 1 to {LONGEST_NAME} characters that can be seen, not {label[:LONGEST_NAME]!r}"


def _of_numbers(retries: Any, backoff_s: Any, timeout_s: Any) -> Iterator[str]:
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        yield f"retries must be a whole number from 0, not {retries!r}"
    if not _is_number(backoff_s) or not 0 <= backoff_s < math.inf:
        yield f"backoff_s must be finite seconds from 0, not {backoff_s!r}"
    if timeout_s is not None and not (_is_number(timeout_s) and 0 < timeout_s <= LONGEST_TIMEOUT_S):
        yield f"timeout_s must be seconds above 0, at most {LONGEST_TIMEOUT_S:.0f}, or None, not {timeout_s!r}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _second(function: Callable[..., Any], run_type: type) -> inspect.Parameter | None:
    """The second parameter, None without one. Raises TypeError, which says what is wrong with the parameters."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise TypeError("its parameters can not be read; wrap it in a function of your own") from None
    odd = [parameter for parameter in parameters if parameter.kind not in _POSITIONAL]
    if odd and odd[0].kind is not inspect.Parameter.KEYWORD_ONLY:
        shown = str(odd[0].replace(annotation=inspect.Parameter.empty))
        raise TypeError(f"its parameter {shown!r} does not say what it takes: {_SHAPE} "
                        "(a decorator keeps the parameters of what it wraps by functools.wraps)")
    if odd:
        raise TypeError(f"nothing would ever be given to its parameter {odd[0].name!r}; {_SHAPE}")
    if not parameters:
        raise TypeError(f"it has no parameter for the payload; {_SHAPE}")
    first = parameters[0].name
    if first in ("self", "cls"):
        raise TypeError(f"its parameter {first!r} would get the payload; register an object's method, or a function")
    if _says_run(parameters[0], run_type):
        raise TypeError(f"its first parameter, {first!r}, would get the payload; {_SHAPE}")
    if len(parameters) > 2:
        raise TypeError(f"nothing would ever be given to its parameter {parameters[2].name!r}; {_SHAPE}")
    return parameters[1] if len(parameters) == 2 else None


def _is_run(parameter: inspect.Parameter, run_type: type) -> bool:
    """Whether the parameter gets the Run. One with a default does only if its name or its annotation says so."""
    return parameter.default is inspect.Parameter.empty or _says_run(parameter, run_type)


def _says_run(parameter: inspect.Parameter, run_type: type) -> bool:
    said = parameter.annotation
    by_type = said is run_type or (isinstance(said, str) and run_type.__name__ in said)
    return parameter.name == "run" or by_type


def _described(function: Any) -> str:
    name, module = getattr(function, "__qualname__", None), getattr(function, "__module__", None)
    return f"{module}.{name}" if isinstance(name, str) and isinstance(module, str) else repr(function)[:200]
