"""Common scheduling rules as baselines, in plain Python and without a board.

Each function takes a workload, and returns when each job started and finished.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush, heapreplace

from jobsched.domain import Bands, Tier
from jobsched.policy import points
from jobsched.simulate.engine import Trace
from jobsched.simulate.workloads import Workload


def one_queue(load: Workload) -> Trace:
    """First come, first served by all workers: plain RQ."""
    return _queued("one queue", load, [0] * len(load), [load.workers])


def queue_a_band(load: Workload, bands: Bands) -> Trace:
    """One queue for each band, with equally many workers each; with fewer workers than bands, neighbours share one."""
    queues = min(load.workers, len(bands))
    of_band = [index * queues // len(bands) for index in range(len(bands))]
    workers = [load.workers // queues + (queue < load.workers % queues) for queue in range(queues)]
    return _queued("queue a band", load, [of_band[index] for index in load.bands(bands)], workers)


def _queued(name: str, load: Workload, queue_of: Sequence[int], workers: Sequence[int]) -> Trace:
    start, finish = _empty(load), _empty(load)
    free = [[0.0] * count for count in workers]
    for job, queue in enumerate(queue_of):
        start[job] = max(load.at[job], free[queue][0])
        finish[job] = start[job] + load.length[job]
        heapreplace(free[queue], finish[job])
    return Trace(name, start, finish)


def drain_the_top_site(load: Workload, bands: Bands, tiers: Sequence[Tier]) -> Trace:
    """Whenever the queue is empty, all pending jobs of the site with most points go into it: a naive distributor."""
    waiting = _Sites(load, bands, tiers)
    queue: deque[int] = deque()

    def following() -> int | None:
        if not queue:
            queue.extend(waiting.pop_top())
        return queue.popleft() if queue else None

    return _served("drain the top site", load, waiting.add, following)


def round_robin(load: Workload) -> Trace:
    """The sites take turns, one job each; a site's jobs run in the order of arrival."""
    lines: dict[int, deque[int]] = {}  # of sites with jobs, next site first

    def add(job: int) -> None:
        lines.setdefault(load.site[job], deque()).append(job)

    def following() -> int | None:
        if not lines:
            return None
        site = next(iter(lines))
        line = lines.pop(site)
        job = line.popleft()
        if line:
            lines[site] = line
        return job

    return _served("round robin", load, add, following)


def shortest_remaining(load: Workload) -> Trace:
    """The jobs with the least work left run. It preempts and knows all lengths: a bound that no real policy reaches."""
    start, finish = array("d", [-1.0]) * len(load), _empty(load)
    running: list[tuple[float, int, float]] = []  # (would finish, job, since); few: one a worker
    waiting: list[tuple[float, int]] = []  # (work left, job)
    pieces: list[tuple[int, float, float]] = []

    def run(now: float) -> None:
        left, job = heappop(waiting)
        if start[job] < 0:
            start[job] = now
        running.append((now + left, job, now))

    def stop(now: float, entry: tuple[float, int, float]) -> None:
        running.remove(entry)
        pieces.append((entry[1], entry[2], now))

    def pass_time(until: float) -> None:
        while running and min(running)[0] <= until:
            entry = min(running)
            finish[entry[1]] = entry[0]
            stop(entry[0], entry)
            if waiting:
                run(entry[0])

    for job, now in enumerate(load.at):
        pass_time(now)
        heappush(waiting, (load.length[job], job))
        if len(running) == load.workers and max(running)[0] - now > waiting[0][0]:
            longest = max(running)
            stop(now, longest)
            heappush(waiting, (longest[0] - now, longest[1]))
        if len(running) < load.workers:
            run(now)
    pass_time(float("inf"))
    return Trace("srpt", start, finish, pieces)


class _Sites:
    """The pending jobs of each site, and its points."""

    def __init__(self, load: Workload, bands: Bands, tiers: Sequence[Tier]) -> None:
        self._load, self._bands, self._tiers = load, bands, tiers
        self._band_of = load.bands(bands)
        self._jobs: dict[int, list[int]] = {}

    def add(self, job: int) -> None:
        self._jobs.setdefault(self._load.site[job], []).append(job)

    def pop_top(self) -> list[int]:
        if not self._jobs:
            return []
        return self._jobs.pop(max(self._jobs, key=lambda site: self._points(self._jobs[site])))

    def _points(self, jobs: Sequence[int]) -> int:
        users = Counter(self._load.user[job] for job in jobs)
        by_band = Counter(self._bands[self._band_of[job]].name for job in jobs)
        return points(users, by_band, 1, self._tiers, self._bands)


def _served(name: str, load: Workload, add: Callable[[int], None], following: Callable[[], int | None]) -> Trace:
    """Gives each free worker the next job, from ``following``."""
    start, finish = _empty(load), _empty(load)
    free = [0.0] * load.workers
    heapify(free)
    arrived = ended = 0
    while ended < len(load):
        now = free[0]
        while arrived < len(load) and load.at[arrived] <= now:
            add(arrived)
            arrived += 1
        job = following()
        if job is None:
            heapreplace(free, load.at[arrived])  # nothing to do until then
            continue
        start[job] = now
        finish[job] = now + load.length[job]
        heapreplace(free, finish[job])
        ended += 1
    return Trace(name, start, finish)


def _empty(load: Workload) -> array[float]:
    return array("d", bytes(8 * len(load)))
