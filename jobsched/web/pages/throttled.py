"""A value that costs much to compute, computed only so often."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Throttled(Generic[T]):
    """A value that is computed again only after ``rest`` times as long as its last computation took.

    While that is a millisecond, the value is never older than some 20 ms; a walk over millions of rows takes a bounded
    share of the time, however many requests ask. Two threads may compute it at once; that does no harm.
    """

    def __init__(self, rest: float = 20.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest = rest
        self._clock = clock
        self._held: tuple[T, float] | None = None

    def get(self, make: Callable[[], T]) -> T:
        """The value held, or a new one from ``make``."""
        began = self._clock()
        if self._held is not None and began < self._held[1]:
            return self._held[0]
        value = make()
        ended = self._clock()
        self._held = (value, ended + self._rest * (ended - began))
        return value
