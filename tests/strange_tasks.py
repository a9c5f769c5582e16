"""Tasks that raise strange errors or return strange results; each may take 0.3 s (``JOBSCHED_TASKS``)."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, NoReturn

from jobsched import task

LIMIT_S = 0.3
LONG_S = 1_000.0


def _sleep(*_: object) -> Any:
    time.sleep(LONG_S)


def _sleep_whatever_comes(*_: object) -> Any:
    while True:
        with suppress(BaseException):
            time.sleep(LONG_S)


def _exit(*_: object) -> Any:
    os._exit(0)


def _fork(*_: object) -> str:
    if os.fork() == 0:
        Path("forked.new").write_text(str(os.getpid()))
        Path("forked.new").rename("forked")
        time.sleep(LONG_S)
    while not Path("forked").exists():
        time.sleep(0.005)
    return "forked"


def _raise_exit(*_: object) -> Any:
    raise SystemExit("no words")


def _error(name: str, **members: Any) -> BaseException:
    """An error of a class of its own, which has these members."""
    return type(name, (Exception,), members)("said")  # type: ignore[no-any-return]


class _SleepyText:
    __str__ = __repr__ = _sleep


class _Text(str):
    """Text that can not be worked with."""

    __slots__ = ()
    encode = replace = __len__ = __getitem__ = __str__ = __format__ = __add__ = _sleep  # type: ignore[assignment]


class _SleepyType(type):
    """A type that can not be looked at."""

    __instancecheck__ = __subclasscheck__ = _sleep  # type: ignore[assignment]
    __name__ = property(_sleep)  # type: ignore[assignment]


class _Held:
    """Something that takes its time to go."""

    __del__ = _sleep


def _ring_of_clean_ups() -> NoReturn:
    stored = ValueError("one stored error")

    def clean_up() -> None:
        raise stored

    with ExitStack() as stack:
        stack.callback(clean_up)
        stack.callback(clean_up)
        raise OSError("the body")


def _ring_of_causes() -> NoReturn:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def _long_line() -> NoReturn:
    last: BaseException | None = None
    for i in range(5_000):
        error = ValueError(f"number {i}")
        error.__context__, last = last, error
    assert last is not None
    raise last


def _groups(width: int, depth: int) -> NoReturn:
    error: Exception = ValueError("the innermost")
    for _ in range(depth):
        error = ExceptionGroup("a group", [error] * width)  # noqa: F821
    raise error


def _from_a_pipe() -> NoReturn:
    """The lines of code come from a file that nobody writes."""
    path = Path(f"pipe-{os.getpid()}").absolute()
    os.mkfifo(path)
    exec(compile("raise ValueError('from a pipe')", str(path), "exec"))
    raise AssertionError("the code has raised")


def _deep() -> NoReturn:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)

    def down(n: int) -> None:
        if n == 0:
            raise ValueError("at the bottom")
        down(n - 1)

    try:
        down(10_000)
    finally:
        sys.setrecursionlimit(before)
    raise AssertionError


def _holding() -> NoReturn:
    held = _Held()
    raise ValueError(f"holds {type(held).__name__}")


def _noted() -> NoReturn:
    error = ValueError("noted")
    error.__notes__ = [f"note {i}" for i in range(100_000)]  # type: ignore[attr-defined]
    raise error


def _without_descriptors() -> NoReturn:
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    raise _error("Full", __str__=lambda self: "in its own words")


def _raising(error: Callable[[], BaseException]) -> Callable[[], NoReturn]:
    def work() -> NoReturn:
        raise error()

    return work


#: What is raised, with what its error must say.
ERRORS: dict[str, tuple[Callable[[], NoReturn], str]] = {
    "a ring of clean-ups": (_ring_of_clean_ups, "ValueError: one stored error"),
    "a ring of causes": (_ring_of_causes, "ValueError: first"),
    "a cause of its own": (_raising(lambda: _its_own_cause()), "ValueError: mine"),
    "a long line of contexts": (_long_line, "ValueError: number 4999"),
    "__str__ sleeps": (_raising(lambda: _error("Sleepy", __str__=_sleep)), "Sleepy: (its message could not be made)"),
    "__str__ sleeps whatever comes": (
        _raising(lambda: _error("Deaf", __str__=_sleep_whatever_comes)), "Deaf: (its message could not be made)"),
    "__str__ ends the process": (_raising(lambda: _error("Ender", __str__=_exit)), "Ender: (its message"),
    "__str__ forks": (_raising(lambda: _error("Forker", __str__=_fork)), "Forker: forked"),
    "__str__ exits": (_raising(lambda: _error("Leaver", __str__=_raise_exit)), "Leaver: (its message"),
    "__str__ is no text": (_raising(lambda: _error("Number", __str__=lambda self: 7)), "Number: (its message"),
    "__str__ is strange text": (_raising(lambda: _error("Odd", __str__=lambda self: _Text("odd"))), "Odd: odd"),
    "an argument sleeps": (_raising(lambda: ValueError(_SleepyText())), "ValueError: (its message could not be made)"),
    "a key sleeps": (_raising(lambda: KeyError(_SleepyText())), "KeyError: (its message could not be made)"),
    "a path sleeps": (_raising(lambda: OSError(2, "no", _SleepyText())), "FileNotFoundError: (its message"),
    "its attributes sleep": (
        _raising(lambda: _error("Closed", __getattribute__=_sleep, __getattr__=_sleep)), "Closed: said"),
    "it can not be set": (_raising(lambda: _error("Stiff", __setattr__=_sleep)), "Stiff: said"),
    "its class sleeps": (_raising(lambda: _error("Masked", __class__=property(_sleep))), "Masked: said"),
    "what led to it sleeps": (_raising(lambda: _error(
        "Hidden", **dict.fromkeys(("__cause__", "__context__", "__traceback__", "__notes__", "__dict__", "args"),
                                  property(_sleep)))), "Hidden: said"),
    "it can not be compared": (_raising(lambda: _error("Alone", __eq__=_sleep, __hash__=_sleep)), "Alone: said"),
    "its type sleeps": (
        _raising(lambda: _SleepyType("Typed", (Exception,), {})("said")),
        # Until 3.12, Python itself asks the type when the error is caught.
        "Typed: said" if sys.version_info >= (3, 12) else f"took longer than its limit of {LIMIT_S} s"),
    "lines from a pipe": (_from_a_pipe, "ValueError: from a pipe"),
    "a deep traceback": (_deep, "ValueError: at the bottom"),
    "a frame that holds something": (_holding, "ValueError: holds _Held"),
    "many notes": (_noted, "ValueError: noted\nnote 0"),
    "large code": (_raising(lambda: SyntaxError("bad", ("a.py", 1, 1, "x" * 10_000_000))), "SyntaxError: bad"),
    "a large message": (_raising(lambda: ValueError("broken: " + "y" * 10_000_000 + " the end")),
                        "ValueError: broken: yyy"),
    "no descriptor is left": (_without_descriptors, "Full: in its own words"),
    "halves of surrogate pairs and NUL": (_raising(lambda: ValueError("a\0b\ud800c")), "ValueError: a\\0b\\ud800c"),
}
if sys.version_info >= (3, 11):
    ERRORS |= {
        "a deep group": (lambda: _groups(1, 3_000), "ExceptionGroup: a group (1 sub-exception)"),
        "a wide group": (lambda: _groups(100_000, 1), "- ValueError: the innermost"),
        "a group of groups": (lambda: _groups(10, 6), "ExceptionGroup: a group (10 sub-exceptions)"),
    }


def _its_own_cause() -> BaseException:
    error = ValueError("mine")
    error.__cause__ = error
    return error


class _Items(dict[Any, Any]):
    """A dict whose items come from elsewhere."""

    def __init__(self, items: Callable[[], Any]) -> None:
        super().__init__({"a": 1})
        self._items = items

    def items(self) -> Any:
        return self._items()


class _Elements(list[Any]):
    """A list whose elements come from elsewhere, and whose length is no more true."""

    def __init__(self, elements: Callable[[], Any]) -> None:
        super().__init__([1])
        self._elements = elements

    def __iter__(self) -> Iterator[Any]:
        return iter(self._elements())

    def __len__(self) -> int:
        return 0


class _Posing:
    """Something that says it is a dict."""

    __class__ = property(lambda self: dict)  # type: ignore[assignment]


class _Colour(str, Enum):
    RED = "red"


class _Size(IntEnum):
    LARGE = 3


class _Ratio(float):
    __repr__ = __str__ = _sleep  # type: ignore[assignment]


class _Count(int):
    __repr__ = __str__ = __index__ = _sleep  # type: ignore[assignment]


class _Loud(list[Any]):
    __del__ = _sleep


def _without_end() -> Iterator[tuple[str, int]]:
    i = 0
    while True:
        yield str(i), i
        i += 1


def _cycle() -> Any:
    ring: list[Any] = []
    ring.append(ring)
    return ring


def _nested(depth: int) -> Any:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _with_other_loads(value: Any) -> Any:
    json.loads = lambda *_, **__: {"another"}  # type: ignore[assignment]
    return value


_TOO_MUCH = "a task must return at most 16384 bytes of JSON"
_NOT_JSON = "a task must return what JSON can hold"
_TOO_LONG = "what it returned can not be read: took longer than 1.25 s after its task had ended"

#: What is returned that can not be recorded, with what the error must say.
RESULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "3 million entries": (lambda: dict.fromkeys(range(3_000_000)), _TOO_MUCH),
    "items without end": (lambda: _Items(_without_end), _TOO_MUCH),
    "elements without end": (lambda: _Elements(lambda: (pair[1] for pair in _without_end())), _TOO_MUCH),
    "large text": (lambda: "y" * 100_000_000, _TOO_MUCH),
    "much escaped text": (lambda: "\x01" * 16_000, _TOO_MUCH),
    "items that sleep": (lambda: _Items(_sleep), _TOO_LONG),
    "elements that sleep": (lambda: _Elements(_sleep), _TOO_LONG),
    "items that raise": (lambda: _Items(_raise_exit), "SystemExit: no words"),
    "items whose error sleeps": (
        lambda: _Items(_raising(lambda: _error("Sleepy", __str__=_sleep))), "Sleepy: (its message could not be made)"),
    "items that are no pairs": (lambda: _Items(lambda: [1, 2]), "TypeError: cannot unpack"),
    "a generator": (_without_end, f"{_NOT_JSON}: a value of type generator is not that"),
    "something that poses as a dict": (_Posing, "a value of type tests.strange_tasks._Posing is not that"),
    "a whole number of 100,000 digits": (lambda: 10**100_000, f"{_NOT_JSON}: a whole number of more than 2,048 bits"),
    "a class of numbers that is none": (lambda: _Ratio("nan"), f"{_NOT_JSON}: nan is no number in it"),
    "keys that are none": (lambda: {(1, 2): 3}, f"{_NOT_JSON}: a value of type tuple is not that"),
    "keys that read alike": (lambda: {1: "a", "1": "b"}, "two keys that read alike; got two \"1\""),
    "a ring": (_cycle, "nests at most 20 levels"),
    "a million levels": (lambda: _nested(1_000_000), "nests at most 20 levels"),
}
#: What of it takes a while to make.
MUCH = {"3 million entries", "large text", "a million levels"}
#: What is returned that looks worse than it is, with what is recorded.
HARMLESS: dict[str, tuple[Callable[[], Any], Any]] = {
    "members of enumerations": (lambda: {_Colour.RED: [_Colour.RED, _Size.LARGE]}, {"red": ["red", 3]}),
    "a class of text": (lambda: [_Text("text"), {_Text("key"): 1}], ["text", {"key": 1}]),
    "classes of numbers": (lambda: [_Ratio(0.1), _Count(7)], [0.1, 7]),
    "a tuple": (lambda: (1, (2,)), [1, [2]]),
    "keys that are no text": (
        lambda: {2: "a", 2.5: "b", None: "c", True: "d"}, {"2": "a", "2.5": "b", "null": "c", "true": "d"}),
    "json's own loads exchanged": (lambda: _with_other_loads([1.5]), [1.5]),
    "a length that is not true": (lambda: _Elements(lambda: [1, 2]), [1, 2]),
    "something that takes its time to go": (lambda: _Loud([1]), [1]),
}


@task(timeout_s=LIMIT_S, retries=2, backoff_s=0.1)
def return_strangely(payload: dict[str, Any]) -> Any:
    """Return what the payload names as ``what``."""
    return {**RESULTS, **HARMLESS}[payload["what"]][0]()


@task(timeout_s=60.0, retries=2, backoff_s=0.1)
def return_much(payload: dict[str, Any]) -> Any:
    """The same, for what takes long to make."""
    return return_strangely(payload)


@task(timeout_s=LIMIT_S)
def raise_strangely(payload: dict[str, Any]) -> None:
    """Raise what the payload names as ``what``."""
    ERRORS[payload["what"]][0]()


@task(timeout_s=LIMIT_S)
def deaf_result(payload: dict[str, Any]) -> Any:
    """Return what takes no stop."""
    return _Items(_sleep_whatever_comes)


@task(timeout_s=LIMIT_S)
def deaf_release(payload: dict[str, Any]) -> list[Any]:
    """Return what takes no stop when it goes."""
    return type("Deaf", (list,), {"__del__": _sleep_whatever_comes})([1])  # type: ignore[no-any-return]


@task(retries=2, backoff_s=1e13)
def retry_too_late(payload: dict[str, Any]) -> NoReturn:
    """Raise, with a pause that no calendar holds."""
    raise ValueError("its own error")


@task
def give(payload: dict[str, Any]) -> Any:
    """Return the value that the payload holds as ``expression``."""
    return eval(payload["expression"])
