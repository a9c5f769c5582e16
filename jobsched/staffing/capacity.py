"""How much work the lanes receive, how many workers keep up with it, and how many keep waits short."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jobsched.board import LATELY_S, Lane
from jobsched.domain import Band
from jobsched.staffing.plan import STABLE

#: Fewer arrivals lately than this say nothing about the mix.
LEAST_ARRIVALS = 10


@dataclass(frozen=True)
class Demand:
    """What a lane asks for.

    ``mean_s`` is the worker-seconds of a job, and ``mean_from`` where that is from: ``measured``; ``estimated``, the
    mean estimate of what waits; ``bound``, that of the band. Both None: nothing has come lately. ``scv`` is the
    squared coefficient of variation of these times, 1 (as if they were exponential) where it was not measured.
    ``load`` is the worker-seconds that come in a second, ``backlog_s`` those that wait, ``held_s`` those of them that
    may not be served as things are: of sites that are held, or of a lane that is paused.
    """

    band: Band
    arrivals_per_s: float
    mean_s: float | None
    mean_from: str | None
    scv: float
    load: float
    backlog_s: float
    held_s: float = 0.0

    @property
    def open_s(self) -> float:
        """The worker-seconds that wait and may be served."""
        return self.backlog_s - self.held_s


def demands(lanes: Iterable[Lane], bands: Sequence[Band]) -> list[Demand]:
    """The demand in each of ``bands``, in their order, by what the board has of its lanes."""
    known = {lane.band: lane for lane in lanes}
    return [demand(band, known.get(band.name, Lane(band.name))) for band in bands]


def demand(band: Band, lane: Lane) -> Demand:
    """The demand in one lane. Where nothing has ended yet, the mean time is assumed, and said to be."""
    load, backlog_s = lane.load, lane.backlog_s
    held_s = backlog_s if lane.paused else min(max(0.0, lane.held_s), backlog_s)
    mean_s, mean_from, scv = load.mean_s, "measured", 1.0
    if mean_s is not None and load.mean_square_s2 is not None and mean_s > 0:
        scv = max(0.0, load.mean_square_s2 / mean_s**2 - 1.0)
    elif mean_s is None and load.arrivals_per_s <= 0 and backlog_s <= 0:
        return Demand(band, 0.0, None, None, scv, 0.0, 0.0)
    elif mean_s is None:
        mean_s, mean_from = (backlog_s / lane.waiting, "estimated") if lane.waiting else (band.bound_s, "bound")
    return Demand(band, load.arrivals_per_s, mean_s, mean_from, scv, load.arrivals_per_s * mean_s, backlog_s, held_s)


def tells(demands: Sequence[Demand]) -> bool:
    """Whether enough has come lately to judge the mix by it."""
    return sum(lane.arrivals_per_s for lane in demands) * LATELY_S >= LEAST_ARRIVALS


def work(demands: Sequence[Demand], workers: int) -> dict[str, float]:
    """The load that ``workers`` are given to lanes for, in worker-seconds a second, by band name.

    It is that of the arrivals. Time that these leave goes to what waits already and may be served, which is then done
    within LATELY_S seconds if that can be: a backlog draws no worker away from lanes whose arrivals need it.
    """
    spare = workers * STABLE - sum(lane.load for lane in demands)
    behind = sum(lane.open_s for lane in demands) / LATELY_S
    part = min(1.0, max(0.0, spare) / behind) / LATELY_S if behind else 0.0
    return {lane.band.name: lane.load + part * lane.open_s for lane in demands}


def workers_to_keep_up(demands: Sequence[Demand]) -> int:
    """The fewest workers who keep up with what comes, and do what waits and may be served within LATELY_S seconds.

    Nobody is busy for more than the plan's STABLE share of the time. Where there are two or more, one of them keeps
    clear of the longest lane, as in the plan. At least one, so that a job that comes finds one.
    """
    needs = [lane.load + lane.open_s / LATELY_S for lane in demands]
    workers = max(1, _ceil(sum(needs) / STABLE))
    return workers if workers == 1 else max(workers, _ceil(needs[-1] / STABLE) + 1)


def workers_for_wait(lane: Demand, wait_s: float) -> int:
    """The fewest workers with whom a lane's jobs wait ``wait_s`` seconds on average, if it had them to itself.

    The lane as M/G/k: the mean wait is that of M/M/k times (1 + scv) / 2 (Lee and Longton, 1959; Allen and Cunneen's
    approximation for Poisson arrivals, in Allen: "Probability, Statistics, and Queueing Theory with Computer Science
    Applications", 2nd edition, 1990). It is conservative, since workers of longer lanes help, and since times of the
    jobs of a slice count as one; it knows nothing of bursts. 0 for a lane to which nothing comes.
    """
    if not lane.load or lane.mean_s is None:
        return 0
    for workers, waits in _erlang_c(lane.load):
        if waits * lane.mean_s / (workers - lane.load) * (1 + lane.scv) / 2 <= wait_s:
            return workers
    raise AssertionError("unreachable: waits go to 0")


def _erlang_c(load: float) -> Iterator[tuple[int, float]]:
    """The probability that a job has to wait (Erlang C), for each number of workers above ``load``, ascending.

    By the recursion of Erlang's loss formula: B(k) = load B(k-1) / (k + load B(k-1)), B(0) = 1.
    """
    loss, workers = 1.0, 0
    while True:
        workers += 1
        loss = load * loss / (workers + load * loss)
        if workers > load:
            yield workers, loss / (1 - load / workers * (1 - loss))


def _ceil(value: float) -> int:
    return math.ceil(value - 1e-9)
