"""Environment variables as declarations: the name, the accepted values, the default and the meaning."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from jobsched.base.addresses import redacted

T = TypeVar("T")

#: How much of a wrong value a fault shows, in characters.
LONGEST_SHOWN = 200


@dataclass(frozen=True)
class Format(Generic[T]):
    """How the text of a variable becomes a value.

    ``parse`` turns the text into a value, or raises ValueError. ``accepted`` describes the accepted texts in words.
    """

    parse: Callable[[str], T]
    accepted: str
    #: ``parse`` says itself what is wrong, in its ValueError.
    explains: bool = False
    #: Space at the ends of the text may be part of the value.
    keeps_space: bool = False


@dataclass(frozen=True)
class Variable(Generic[T]):
    """An environment variable.

    ``default`` is the text that stands for an unset variable, or a function that makes it from the settings that were
    read before. ``shown`` describes the default in the documentation, where the text itself would not help.
    """

    name: str
    format: Format[T]
    default: str | Callable[[Mapping[str, Any]], str]
    meaning: str
    shown: str = ""

    def read(self, environ: Mapping[str, str], before: Mapping[str, Any]) -> T:
        """The value in ``environ``; ``before`` are the settings that were read before. A blank variable is unset.

        Raises ValueError with a sentence that names the variable, says what would be right, and shows no password.
        """
        text = environ.get(self.name, "")
        if not text.strip():
            text = self.default if isinstance(self.default, str) else self.default(before)
        if not self.format.keeps_space:
            text = text.strip()
        try:
            return self.format.parse(text)
        except ValueError as error:
            wanted = error if self.format.explains else f"must be {self.format.accepted}"
            raise ValueError(f"{self.name}={_shown(text)!r}: {wanted}") from None


def whole(low: int, high: int, what: str = "a whole number") -> Format[int]:
    """A whole number from ``low`` to ``high``."""
    def parse(text: str) -> int:
        value = digits(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return Format(parse, f"{what}, {low} to {high}")


def number(low: float, high: float, unit: str) -> Format[float]:
    """A number of ``unit`` from ``low`` to ``high``, a whole number."""
    def parse(text: str) -> float:
        if not low <= float(text) <= high:  # nor is nan
            raise ValueError(text)
        return float(text)

    return Format(parse, f"{unit}, {low:g} to {high:.0f}")


def one_of(names: Collection[str]) -> Format[str]:
    """One of ``names``."""
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(text)
        return text

    return Format(parse, f"one of {', '.join(names)}")


def some_of(names: Collection[str]) -> Format[tuple[str, ...]]:
    """Any number of ``names``, with commas between them."""
    def parse(text: str) -> tuple[str, ...]:
        if not set(found := listed(text)) <= set(names):
            raise ValueError(text)
        return found

    return Format(parse, f"names of {', '.join(names)}, with commas")


def listed(text: str) -> tuple[str, ...]:
    """The names in a text, which has commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def path(text: str) -> Path:
    """``text`` as an absolute path. Space at its end may be part of a file's name; the end of a line is not."""
    found = Path(text.lstrip().rstrip("\r\n"))
    with suppress(RuntimeError):  # a ~ of nobody is a name like any other
        found = found.expanduser()
    return found.absolute()


def digits(text: str) -> int:
    """A whole number in at most 19 ASCII digits; int() would also accept ``1_0`` and the digits of all scripts."""
    if not re.fullmatch(r"[0-9]{1,19}", text.strip()):
        raise ValueError(text)
    return int(text)


def seconds(text: str) -> float:
    """A finite number of seconds above 0."""
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(text)
    return value


def _shown(text: str) -> str:
    """A wrong value as a fault shows it: without passwords, and cut to LONGEST_SHOWN."""
    told = redacted(text)
    return told if len(told) <= LONGEST_SHOWN else f"{told[:LONGEST_SHOWN]}..."
