"""A clock that tests move, for every place where jobsched reads the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import pytest

from jobsched.dispatch import leases
from jobsched.intake import submit
from jobsched.ledger import moves
from jobsched.queues import due
from jobsched.work import runner

START = datetime(2026, 3, 1, tzinfo=timezone.utc)


class Clock:
    """The moment that it is, for the ledger; and in seconds since the epoch, for the board."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    @property
    def seconds(self) -> float:
        return self.now.timestamp()

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@contextmanager
def ticking(clock: Clock) -> Iterator[None]:
    """The engine reads this clock while the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (moves, leases, runner):
            patch.setattr(module, "utcnow", clock)
        for module in (moves, due, submit):
            patch.setattr(module, "shared_now", lambda _session: clock())
        yield
