"""Parses values from Redis, and raises ValueError for any that jobsched cannot have written. Pure."""

from __future__ import annotations

import math
import re
from typing import Any

#: No number on the board comes near it: moments and seconds of work in microseconds, counts, scores.
MOST = 1e18

_ID = re.compile(r"[1-9][0-9]{0,18}")
_WHOLE = re.compile(r"-?[0-9]{1,18}")


def text(value: Any) -> str:
    """What Redis answered, as a string; bytes that are no text can be told apart from any that are."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def legible(value: Any) -> str:
    """The same of what may be anything: bytes that are no text are replaced."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def number(value: Any, otherwise: float = 0.0) -> float:
    """A finite number; ``otherwise`` where nothing is."""
    if value is None:
        return otherwise
    found = float(text(value))
    if not math.isfinite(found) or abs(found) > MOST:
        raise ValueError(f"{text(value)[:50]!r} is not a number of a board")
    return found


def whole(value: Any, otherwise: int = 0) -> int:
    """A whole number; ``otherwise`` where nothing is."""
    return otherwise if value is None else round(number(value))


def identity(value: Any) -> int:
    """The id of a site, a user or a job."""
    if not is_id(value):
        raise ValueError(f"{text(value)[:50]!r} is not an id")
    return int(text(value))


def is_id(value: Any) -> bool:
    """Whether a value is written as ids are."""
    return _ID.fullmatch(text(value)) is not None


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, of the size that a board holds."""
    try:
        number(value)
    except ValueError:
        return False
    return True


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, as Redis counts."""
    return _WHOLE.fullmatch(text(value)) is not None
