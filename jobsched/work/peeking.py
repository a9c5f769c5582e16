"""Inspects errors and their types without running any code of a task's classes."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

#: The classes that an instance of a type takes its attributes from, in order.
ancestors: Callable[[type], tuple[type, ...]] = vars(type)["__mro__"].__get__
#: What a class itself defines.
attributes: Callable[[type], Mapping[str, Any]] = vars(type)["__dict__"].__get__
_qualname: Callable[[type], str] = vars(type)["__qualname__"].__get__


def _getter(label: str) -> Callable[[BaseException], Any]:
    get: Callable[[BaseException], Any] = vars(BaseException)[label].__get__
    return get


context: Callable[[BaseException], BaseException | None] = _getter("__context__")
trace: Callable[[BaseException], TracebackType | None] = _getter("__traceback__")
cause: Callable[[BaseException], BaseException | None] = _getter("__cause__")
_context_is_hidden, _dict = _getter("__suppress_context__"), _getter("__dict__")

_Group: Any = getattr(builtins, "BaseExceptionGroup", None)  # since Python 3.11


def name(kind: type) -> str:
    """The name of a type, with that of its module unless it is one of Python's own."""
    label, module = _qualname(kind)[:200], attributes(kind).get("__module__")
    if type(module) is not str or module in ("builtins", "__main__"):
        return label
    return f"{module[:200]}.{label}"


def led_to(error: BaseException) -> tuple[BaseException | None, str]:
    """The error that led to one, and in which words, as Python does; None when there is none to tell."""
    of_it = cause(error)
    if of_it is not None:
        return of_it, "The above exception was the direct cause of the following exception:"
    hidden = bool(_context_is_hidden(error))
    return None if hidden else context(error), "During handling of the above exception, another exception occurred:"


def members(error: BaseException) -> Sequence[BaseException]:
    """The errors that a group holds; none of any other error."""
    if _Group is None or not issubclass(type(error), _Group):
        return ()
    found: Sequence[BaseException] = vars(_Group)["exceptions"].__get__(error)
    return found


def notes(error: BaseException) -> list[str]:
    """The notes of an error (PEP 678) that are plain text."""
    found = _dict(error).get("__notes__")
    return [note for note in list.__iter__(found) if type(note) is str] if isinstance(found, list) else []
