"""Checks the forecasts of starts: asks the board about some waiting jobs, and compares with their starts.

A job that starts at once is left out, since nobody could have asked about it.

A forecast of a quantile is right if the share of starts within the p90 is 0.9 (Gneiting, Balabdaoui, Raftery:
"Probabilistic forecasts, calibration and sharpness", 2007): a larger share means too careful, a smaller one too bold.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from statistics import median
from typing import TypeAlias

from jobsched.board import Board, Flying, Waiting

#: When jobs start, in seconds, by their index or id.
Starts: TypeAlias = "Sequence[float] | Mapping[int, float]"

#: The most jobs of a workload to ask about, and how long after its arrival each is asked about, in seconds.
SAMPLE, MOMENT_S = 4000, 0.01


@dataclass(frozen=True)
class Look:
    """A forecast ``at`` some second: half of such jobs start within ``half_s``, nine in ten within ``most_s``.

    The first look comes a moment after the job was placed, a ``later`` one at some time during its wait. The job waits
    ``on_board``, or else in a worker's queue.
    """

    job: int
    at: float
    half_s: float
    most_s: float
    on_board: bool
    later: bool


@dataclass(frozen=True)
class Kept:
    """How often a start came within the forecast. ``width`` is the median of p90 over the wait that followed."""

    looks: int
    p50_held: float
    p90_held: float
    width: float


class Inspector:
    """Asks the board about a sample of jobs a moment after they arrive, and again while they wait.

    ``start`` holds the start of each job, 0 until it has started.
    """

    def __init__(self, board: Board, start: array[float], seed: int = 0) -> None:
        self.looks: list[Look] = []
        self._board, self._start = board, start
        self._rng = Random(seed)
        self._arrived = self._first = 0
        self._due: list[tuple[float, float, int, bool]] = []

    @property
    def next_look(self) -> float:
        """When the next look is due, in seconds; infinity if none is."""
        while self._due:
            at, _, job, later = self._due[0]
            if (later or self._has_room()) and not 0 < self._start[job] <= at:
                return at
            heappop(self._due)  # the sample is large enough, or the job has started
        return math.inf

    def arrived(self, jobs: Iterable[int], now: float) -> None:
        """Jobs have arrived."""
        for job in jobs:
            self._arrived += 1
            heappush(self._due, (now + MOMENT_S, self._rng.random(), job, False))

    def look(self) -> None:
        """Ask about the job of the next look; for every second job, also choose a later look."""
        now, _, job, later = heappop(self._due)
        self._board.now = now
        told = self._board.view.why(job)
        if not isinstance(told, Waiting | Flying) or told.half_s is None or told.most_s is None:
            return
        self.looks.append(Look(job, now, told.half_s, told.most_s, isinstance(told, Waiting), later))
        self._first += not later
        if not later and self._rng.random() < 0.5:
            heappush(self._due, (now + self._rng.random() * told.most_s, 0.0, job, True))

    def _has_room(self) -> bool:
        """Whether the sample may grow now; it is spread evenly over all arrivals."""
        return self._first < SAMPLE * self._arrived / len(self._start)


def kept(start: Starts, looks: Sequence[Look], is_quiet: Callable[[int], bool]) -> Mapping[str, Kept]:
    """How often the forecasts held, by group; groups without looks are missing. ``start`` holds the start of each job.

    The groups are: ``all`` looks; looks at jobs of ``quiet`` sites, on the ``board``, or in a worker's ``queue``;
    ``first`` and ``later`` looks.
    """
    groups: dict[str, list[Look]] = {
        "all": list(looks),
        "quiet": [look for look in looks if is_quiet(look.job)],
        "board": [look for look in looks if look.on_board],
        "queue": [look for look in looks if not look.on_board],
        "first": [look for look in looks if not look.later],
        "later": [look for look in looks if look.later],
    }
    return {name: _kept(start, group) for name, group in groups.items() if group}


def _kept(start: Starts, looks: Sequence[Look]) -> Kept:
    waits = [start[look.job] - look.at for look in looks]
    half = sum(wait <= look.half_s for wait, look in zip(waits, looks, strict=True))
    most = sum(wait <= look.most_s for wait, look in zip(waits, looks, strict=True))
    width = median(look.most_s / max(wait, 1e-9) for wait, look in zip(waits, looks, strict=True))
    return Kept(len(looks), half / len(looks), most / len(looks), width)
