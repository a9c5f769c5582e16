"""Measures the result of a policy: slowdown, wait, time passed over, evenness of service.

Slowdown is the time from arrival to finish, divided by the job's own length: 1 is a job that never waited. It measures
what a short job suffers behind a long one, as Harchol-Balter does ("Performance Modeling and Design of Computer
Systems", 2013). Evenness is Jain's index (Jain, Chiu, Hawe: DEC TR-301, 1984) of the service of the sites, each
relative to its max-min fair share.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Generic, TypeVar

from jobsched.domain import Bands
from jobsched.simulate.engine import Trace
from jobsched.simulate.expectations import Kept, kept
from jobsched.simulate.stability import left_waiting
from jobsched.simulate.workloads import Workload

T = TypeVar("T")

#: The width of the windows over which service is compared, in seconds.
WINDOW_S = 1.0
#: The number of parts of a timeline.
TIMELINE = 80
#: The quantiles of a curve.
CURVE = tuple(1 - 10 ** (-i / 12) for i in range(61))


@dataclass(frozen=True)
class Spread:
    """A set of numbers in short. ``curve`` holds its quantiles at CURVE."""

    count: int
    mean: float
    p50: float
    p99: float
    max: float
    curve: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """One policy on one workload. Times are in seconds.

    ``jain_1s`` is None where no two sites ever competed. ``timeline`` is the mean slowdown of the quiet sites' jobs
    that arrived in each of TIMELINE equal parts of the workload, None where none did. ``gain`` is None unless all jobs
    came at once, ``left_waiting`` is None if they did. ``told`` says how often the board's forecasts of starts held, by
    group; it is empty without a board.
    """

    policy: str
    slowdown: Spread
    wait_s: Spread
    quiet_slowdown: Spread
    quiet_wait_s: Spread
    slowdown_by_band: Mapping[str, Spread]
    wait_s_by_band: Mapping[str, Spread]
    jain_1s: float | None
    max_passed_over_s: float
    makespan_s: float
    timeline: tuple[float | None, ...]
    gain: float | None
    left_waiting: float | None
    told: Mapping[str, Kept]


def measure(load: Workload, trace: Trace, bands: Bands) -> Result:
    """The measures of one policy."""
    band_of = load.bands(bands)
    waits = [max(0.0, f - at - size) for f, at, size in zip(trace.finish, load.at, load.length, strict=True)]
    slow = [1 + wait / size for wait, size in zip(waits, load.length, strict=True)]
    quiet = [site not in load.busy for site in load.site]
    return Result(
        policy=trace.policy,
        slowdown=spread(slow), wait_s=spread(waits),
        quiet_slowdown=spread(x for x, is_quiet in zip(slow, quiet, strict=True) if is_quiet),
        quiet_wait_s=spread(x for x, is_quiet in zip(waits, quiet, strict=True) if is_quiet),
        slowdown_by_band=_by_band(slow, band_of, bands), wait_s_by_band=_by_band(waits, band_of, bands),
        jain_1s=jain_of_windows(load, trace),
        max_passed_over_s=longest_passed_over(load, trace, band_of),
        makespan_s=max(trace.finish, default=0.0),
        timeline=_timeline(load.at, slow, quiet),
        gain=gain(load, trace) if load.busy and not any(load.at) else None,
        left_waiting=left_waiting(load, trace, bands) if any(load.at) else None,
        told=kept(trace.start, trace.looks, quiet.__getitem__),
    )


def spread(numbers: Iterable[float]) -> Spread:
    """Mean, quantiles (nearest rank) and largest of some numbers; zeros if there are none."""
    ranked = sorted(numbers)
    if not ranked:
        return Spread(0, 0.0, 0.0, 0.0, 0.0, ())

    def quantile(q: float) -> float:
        return ranked[max(0, math.ceil(q * len(ranked)) - 1)]

    told = [q for q in CURVE if (1 - q) * len(ranked) >= 1 - 1e-9]
    return Spread(len(ranked), math.fsum(ranked) / len(ranked), quantile(0.5), quantile(0.99), ranked[-1],
                  tuple(quantile(q) for q in told))


def _by_band(numbers: Sequence[float], band_of: Sequence[int], bands: Bands) -> dict[str, Spread]:
    groups: dict[int, list[float]] = defaultdict(list)
    for number, index in zip(numbers, band_of, strict=True):
        groups[index].append(number)
    return {bands[index].name: spread(group) for index, group in sorted(groups.items())}


def _timeline(at: Sequence[float], slowdown: Sequence[float], quiet: Sequence[bool]) -> tuple[float | None, ...]:
    sums, counts = [0.0] * TIMELINE, [0] * TIMELINE
    width = (at[-1] / TIMELINE if at else 0.0) or 1.0
    for arrival, value, is_quiet in zip(at, slowdown, quiet, strict=True):
        if is_quiet:
            part = min(TIMELINE - 1, int(arrival / width))
            sums[part] += value
            counts[part] += 1
    return tuple(total / count if count else None for total, count in zip(sums, counts, strict=True))


# Passed over


def gain(load: Workload, trace: Trace) -> float | None:
    """How much more service a busy site got than a quiet one, while all had jobs waiting: 0.1 is a tenth more.

    None if the quiet sites got nothing.
    """
    last: dict[int, float] = {}
    for job, site in enumerate(load.site):
        last[site] = max(last.get(site, 0.0), trace.start[job])
    end = min(last.values())
    given = dict.fromkeys(last, 0.0)
    for job, begin, finish in trace.runs():
        given[load.site[job]] += max(0.0, min(finish, end) - begin)
    busy = [seconds for site, seconds in given.items() if site in load.busy]
    quiet = [seconds for site, seconds in given.items() if site not in load.busy]
    return (sum(busy) / len(busy)) / (sum(quiet) / len(quiet)) - 1 if any(quiet) else None


def longest_passed_over(load: Workload, trace: Trace, band_of: Sequence[int]) -> float:
    """The longest time for which some site had jobs waiting in some band and none of them started."""
    return max(passed_over(load, trace, band_of).values(), default=0.0)


def passed_over(load: Workload, trace: Trace, band_of: Sequence[int]) -> dict[tuple[int, int], float]:
    """The longest such time of each (site, index of its band)."""
    events: dict[tuple[int, int], list[tuple[float, int]]] = defaultdict(list)
    for job, (site, band) in enumerate(zip(load.site, band_of, strict=True)):
        events[site, band] += [(load.at[job], 1), (trace.start[job], 2)]
    return {line: _longest_gap(sorted(changes)) for line, changes in events.items()}


def _longest_gap(events: Iterable[tuple[float, int]]) -> float:
    waiting, since, longest = 0, 0.0, 0.0
    for at, kind in events:
        if kind == 1:  # arrives
            since = at if waiting == 0 else since
            waiting += 1
        else:  # starts
            longest = max(longest, at - since)
            since = at
            waiting -= 1
    return longest


# Evenness


def jain(shares: Sequence[float]) -> float:
    """Jain's index: 1 if all shares are equal or zero, 1/n if one site has everything."""
    squares = sum(x * x for x in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def jain_of_windows(load: Workload, trace: Trace) -> float | None:
    """The mean over windows of Jain's index of what each backlogged site got of its max-min fair share.

    A site is backlogged in a window if it has a job waiting as the window opens. It then asks for the work that it has
    left, at most one worker for each job, or for what it gets, if that is more. Only windows with at least two such
    sites count; None if there is no such window.
    """
    indices = []
    for window in Windows(load, trace):
        if len(window) > 1:
            fair = max_min([asked for asked, _ in window], sum(given for _, given in window))
            indices.append(jain([given / share for (_, given), share in zip(window, fair, strict=True) if share > 0]))
    return sum(indices) / len(indices) if indices else None


def max_min(asked: Sequence[float], capacity: float) -> list[float]:
    """The max-min fair division: no site gets more than it asks for, and the others share the rest."""
    fair = [0.0] * len(asked)
    left = capacity
    order = sorted(range(len(asked)), key=asked.__getitem__)
    for done, i in enumerate(order):
        fair[i] = min(asked[i], left / (len(asked) - done))
        left -= fair[i]
    return fair


class Windows:
    """Walks a trace in windows; gives for each the (asked, given) worker-seconds of its backlogged sites."""

    def __init__(self, load: Workload, trace: Trace) -> None:
        self._load = load
        jobs = range(len(load))
        self._arrivals = _Ahead((load.at[job], job) for job in jobs)
        self._starts = _Ahead((trace.start[job], job) for job in sorted(jobs, key=trace.start.__getitem__))
        self._ends = _Ahead((trace.finish[job], job) for job in sorted(jobs, key=trace.finish.__getitem__))
        self._runs = _Ahead((begin, (job, begin, end)) for job, begin, end in sorted(trace.runs(), key=itemgetter(1)))
        self._waiting: Counter[int] = Counter()  # jobs by site
        self._unfinished: Counter[int] = Counter()
        self._left: defaultdict[int, float] = defaultdict(float)  # worker-seconds by site
        self._running: list[tuple[int, float, float]] = []

    def __iter__(self) -> Iterator[list[tuple[float, float]]]:
        index = 0
        while self._ends.next_at is not None:
            if not self._waiting:  # then nobody is backlogged until the next arrival, which may be far
                if self._arrivals.next_at is None:
                    return
                arrives = max(index, int(self._arrivals.next_at // WINDOW_S))
                self._window(index * WINDOW_S, arrives * WINDOW_S)
                index = arrives
            yield self._window(index * WINDOW_S, (index + 1) * WINDOW_S)
            index += 1

    def _window(self, opens: float, closes: float) -> list[tuple[float, float]]:
        backlogged = [site for site, jobs in self._waiting.items() if jobs]
        asked = {site: min(self._left[site], self._unfinished[site] * WINDOW_S) for site in backlogged}
        for job in self._arrivals.until(closes):
            site = self._load.site[job]
            self._waiting[site] += 1
            self._unfinished[site] += 1
            self._left[site] += self._load.length[job]
        given = self._given(opens, closes)
        for site, seconds in given.items():
            self._left[site] -= seconds
        for job in self._starts.until(closes):
            self._take_one(self._waiting, job)
        for job in self._ends.until(closes):
            self._take_one(self._unfinished, job)
        return [(max(asked[site], given[site]), given[site]) for site in backlogged]

    def _given(self, opens: float, closes: float) -> defaultdict[int, float]:
        self._running += self._runs.until(closes)
        given: defaultdict[int, float] = defaultdict(float)
        for job, begin, end in self._running:
            given[self._load.site[job]] += min(end, closes) - max(begin, opens)
        self._running = [run for run in self._running if run[2] > closes]
        return given

    def _take_one(self, counts: Counter[int], job: int) -> None:
        site = self._load.site[job]
        counts[site] -= 1
        if not counts[site]:
            del counts[site]


class _Ahead(Generic[T]):
    """A stream of (time, thing) in order of time, read up to a time."""

    def __init__(self, stream: Iterable[tuple[float, T]]) -> None:
        self._stream = iter(stream)
        self._head = next(self._stream, None)

    @property
    def next_at(self) -> float | None:
        return self._head[0] if self._head else None

    def until(self, end: float) -> Iterator[T]:
        while self._head is not None and self._head[0] < end:
            yield self._head[1]
            self._head = next(self._stream, None)
