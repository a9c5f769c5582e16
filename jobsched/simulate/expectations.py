"""Whether jobs start when the board expects them to: some are asked about while they wait, and looked at again after.

What is told is a forecast of quantiles, so it is right when the share of starts within the told p90 is 0.9 (Gneiting,
Balabdaoui, Raftery: "Probabilistic forecasts, calibration and sharpness", 2007): more is too careful, less is a lie.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from statistics import median

from jobsched.board import Board, Waiting
from jobsched.simulate.workloads import Workload

#: About so many jobs of a workload are asked about, but at most one in ONE_IN of a large one.
SAMPLE, ONE_IN = 4000, 20


@dataclass(frozen=True)
class Look:
    """What was told of a job ``at`` some second: half of such start within ``half_s``, nine of ten within ``most_s``.

    The first look comes a moment after the job was placed, a ``later`` one somewhere in its wait.
    """

    job: int
    at: float
    half_s: float
    most_s: float
    later: bool


@dataclass(frozen=True)
class Kept:
    """How often a start came within what was told. ``width`` is the median of p90 over the wait that followed."""

    looks: int
    p50_held: float
    p90_held: float
    width: float


class Inspector:
    """Asks the board about a sample of jobs, drawn from ``seed``, for as long as they wait on it."""

    def __init__(self, board: Board, jobs: int, seed: int = 0) -> None:
        self.looks: list[Look] = []
        self._board = board
        self._rng = Random(seed)
        self._share = min(1.0, max(SAMPLE / max(jobs, 1), 1 / ONE_IN / 10))
        self._fresh: list[int] = []
        self._later: list[tuple[float, int]] = []

    @property
    def curious(self) -> bool:
        """Whether a job that has just arrived is to be looked at: it has to be on the board then."""
        return bool(self._fresh)

    def arrived(self, job: int) -> None:
        """A job has arrived; it may belong to the sample."""
        if self._rng.random() < self._share:
            self._fresh.append(job)

    def look_until(self, now: float) -> None:
        """Ask again about those whose moment has come before ``now``."""
        while self._later and self._later[0][0] < now:
            self._board.now, job = heappop(self._later)
            self._ask(job, self._board.now, later=True)

    def look_at_fresh(self, now: float) -> None:
        """Ask about those that have just arrived, and wait. For every other one, choose a later moment as well."""
        for job in self._fresh:
            look = self._ask(job, now, later=False)
            if look and self._rng.random() < 0.5:
                heappush(self._later, (now + self._rng.random() * look.most_s, job))
        self._fresh.clear()

    def _ask(self, job: int, now: float, *, later: bool) -> Look | None:
        told = self._board.why(job)
        if not isinstance(told, Waiting) or told.half_s is None or told.most_s is None:
            return None
        self.looks.append(Look(job, now, told.half_s, told.most_s, later))
        return self.looks[-1]


def kept(load: Workload, start: array[float], looks: Sequence[Look]) -> Mapping[str, Kept]:
    """What was kept, of ``all`` looks, of ``quiet`` sites' jobs, of ``first`` and of ``later`` ones; without any: none.

    Jobs that start at the moment they arrive are not among them: nobody could have asked.
    """
    groups: dict[str, Iterable[Look]] = {
        "all": looks,
        "quiet": [look for look in looks if load.site[look.job] not in load.busy],
        "first": [look for look in looks if not look.later],
        "later": [look for look in looks if look.later],
    }
    return {name: _kept(start, list(group)) for name, group in groups.items() if group}


def _kept(start: array[float], looks: Sequence[Look]) -> Kept:
    waits = [start[look.job] - look.at for look in looks]
    half = sum(wait <= look.half_s for wait, look in zip(waits, looks, strict=True))
    most = sum(wait <= look.most_s for wait, look in zip(waits, looks, strict=True))
    width = median(look.most_s / max(wait, 1e-9) for wait, look in zip(waits, looks, strict=True))
    return Kept(len(looks), half / len(looks), most / len(looks), width)
