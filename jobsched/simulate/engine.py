"""Simulates workers on the real board: its Lua scripts decide, and a virtual clock advances.

Everything between the board and a worker is as in production: each lane's queue is kept as full as
:func:`jobsched.queues.lanes.window` says, and a worker looks at its lanes in the order of
:class:`jobsched.staffing.plan.Turns`. Only time is not real: dispatching and settling take none, and a job
takes its true length.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Any

from redis import Redis

from jobsched.board import Board
from jobsched.domain import Bands, SiteFacts, Slice, Tier, WaitingJob
from jobsched.policy import Policy
from jobsched.queues.lanes import window
from jobsched.simulate.expectations import Inspector, Look
from jobsched.simulate.workloads import Workload
from jobsched.staffing.plan import Slot, Turns

#: No worker dies here, so no lease may run out.
LEASE_S = 1e9


@dataclass(frozen=True)
class House:
    """The simulated installation. ``overhead_s`` is the time that a slice costs its worker before its first job."""

    bands: Bands
    tiers: tuple[Tier, ...]
    slots: tuple[Slot, ...]
    slice_budget_s: float
    overhead_s: float = 0.0


@dataclass(frozen=True)
class Trace:
    """When each job started and finished, in seconds.

    ``pieces`` are the intervals (job, from, to) in which jobs ran, if they were interrupted. ``looks`` are the board's
    forecasts for some jobs while they waited.
    """

    policy: str
    start: array[float]
    finish: array[float]
    pieces: Sequence[tuple[int, float, float]] | None = None
    looks: Sequence[Look] = ()

    def runs(self) -> Iterator[tuple[int, float, float]]:
        """The intervals in which a worker ran a job: (job, from, to)."""
        if self.pieces is not None:
            yield from self.pieces
        else:
            yield from zip(range(len(self.start)), self.start, self.finish, strict=True)


class Deferring(Redis):
    """Runs scripts on a connection of its own. A script without a needed answer is sent along with the next one.

    redis-py's retries, metrics and pool take as long as the script; here, where the server is ours, they are left out.
    """

    def __init__(self, redis: Redis) -> None:
        super().__init__(connection_pool=redis.connection_pool)
        self.deferring = False
        self._later: list[tuple[Any, ...]] = []
        self._known: set[Any] = set()
        self._line: Any = self.connection_pool.get_connection()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] != "EVALSHA" or args[1] not in self._known:
            self.flush()
            ask: Any = super().execute_command
            answer = ask(*args, **options)
            if args[0] == "EVALSHA":
                self._known.add(args[1])  # only a script that the server has can be sent without waiting
            return answer
        self._later.append(args)
        return 0 if self.deferring else self.flush()

    def flush(self) -> Any:
        """Send the deferred scripts; returns the last answer."""
        later, self._later = self._later, []
        self._line.send_packed_command(self._line.pack_commands(later))
        answer = None
        for _ in later:
            answer = self._line.read_response()
        return answer

    def close(self) -> None:
        """Send the deferred scripts, and give the connection back."""
        self.flush()
        self.connection_pool.release(self._line)


class _Worker:
    """A virtual worker."""

    def __init__(self, slot: Slot) -> None:
        self.turns = Turns(slot)
        self.lanes = frozenset(self.turns.order)

    def pop(self, queues: dict[str, deque[Slice]], board: Board) -> Slice | None:
        if sum(bool(queues[band]) for band in self.lanes) > 1:
            self.turns.look(board.view.lanes())
        for band in self.turns.order:
            if queues[band]:
                return queues[band].popleft()
        return None


class Simulation:
    """One policy on one workload. ``redis`` must be empty.

    Unless it ``asks``, the board forecasts no starts and learns nothing from them; the order of jobs is the same.
    """

    def __init__(self, redis: Redis, workload: Workload, house: House, policy: Policy, *, asks: bool = True) -> None:
        self._redis = Deferring(redis)
        self._board = Board(self._redis, now=0.0)
        self._board.rules.install(policy, house.bands, house.tiers)
        listeners = {band.name: sum(band in slot.own + slot.helps for slot in house.slots) for band in house.bands}
        self._board.rules.set_listeners(listeners)
        self._board.update_sites(SiteFacts(s, 1, workload.weights.get(s, 1.0)) for s in workload.sites)
        self._policy, self._workload, self._house = policy, workload, house
        self._bands = workload.bands(house.bands)
        names = [band.name for band in house.bands]
        self._workers = [_Worker(slot) for slot in house.slots]
        self._idle = list(self._workers)  # longest idle first, the order in which Redis wakes clients
        self._queues: dict[str, deque[Slice]] = {name: deque() for name in names}
        self._room = {band.name: window(band, listeners[band.name], house.slice_budget_s) for band in house.bands}
        self._waiting = dict.fromkeys(names, 0)
        self._unplaced: list[int] = []
        self._order = count()
        self._ends: list[tuple[float, int, Slice, _Worker, float]] = []
        self._start = array("d", bytes(8 * len(workload)))
        self._finish = array("d", bytes(8 * len(workload)))
        self._asks = asks
        self._inspector = Inspector(self._board, self._start)

    def run(self, advance: Callable[[int], object] = lambda _: None) -> Trace:
        """Run until all jobs have ended. ``advance`` gets the number of jobs that arrived since its last call."""
        at, jobs, arrived, told = self._workload.at, len(self._workload), 0, 0
        while arrived < jobs or self._ends:
            now = min(at[arrived] if arrived < jobs else float("inf"), self._ends[0][0] if self._ends else float("inf"))
            self._inspect(now)
            self._board.now = now
            before = arrived
            while arrived < jobs and at[arrived] <= now:
                self._arrive(arrived)
                arrived += 1
            if self._asks:
                self._inspector.arrived(range(before, arrived), now)
            while self._ends and self._ends[0][0] <= now:
                self._end(now)
            self._dispatch(now)
            if arrived - told >= 1000 or arrived == jobs > told:
                advance(arrived - told)
                told = arrived
        self._redis.close()
        return Trace(self._policy.name, self._start, self._finish, looks=self._inspector.looks)

    def _inspect(self, until: float) -> None:
        """Ask for the forecasts that are due before the next event."""
        if self._inspector.next_look < until:
            self._place()
            while self._inspector.next_look < until:
                self._inspector.look()

    def _arrive(self, job: int) -> None:
        self._unplaced.append(job)
        self._waiting[self._house.bands[self._bands[job]].name] += 1

    def _place(self) -> None:
        """Place the arrived jobs on the board. That may be late, since no worker could have taken them earlier."""
        if self._unplaced:
            self._board.place((self._waiting_job(job) for job in self._unplaced), arriving=self._asks)
            self._unplaced.clear()

    def _waiting_job(self, job: int) -> WaitingJob:
        load = self._workload
        band = self._house.bands[self._bands[job]].name
        return WaitingJob(job, load.site[job], load.user[job], band, load.estimate[job], 0, load.at[job])

    def _end(self, now: float) -> None:
        _, _, slice_, worker, used_s = heappop(self._ends)
        self._redis.deferring = True
        self._place()
        self._board.settle(slice_.id, used_s)
        self._redis.deferring = False
        following = worker.pop(self._queues, self._board)
        if following is None:
            self._idle.append(worker)
        else:
            self._room[following.band] += 1
            self._run_slice(now, worker, following)

    def _dispatch(self, now: float) -> None:
        """Fill every lane's window, and repeat while idle workers take slices."""
        again = True
        while again:
            again = False
            for band, room in self._room.items():
                if room > 0 and self._waiting[band]:
                    again |= self._fill(now, band, room)

    def _fill(self, now: float, band: str, room: int) -> bool:
        self._redis.deferring = True
        self._place()
        self._redis.deferring = False
        slices = self._board.take(band, room, budget_s=self._house.slice_budget_s, lease_s=LEASE_S)
        self._room[band] -= len(slices)
        self._waiting[band] -= sum(len(slice_.jobs) for slice_ in slices)
        self._queues[band].extend(slices)
        return self._wake(now, band)

    def _wake(self, now: float, band: str) -> bool:
        """Give the slices of a lane to idle workers that listen to it; returns whether there was one."""
        woken = False
        for worker in [worker for worker in self._idle if band in worker.lanes]:
            slice_ = worker.pop(self._queues, self._board)
            if slice_ is None:
                break
            self._idle.remove(worker)
            self._room[band] += 1
            self._run_slice(now, worker, slice_)
            woken = True
        return woken

    def _run_slice(self, now: float, worker: _Worker, slice_: Slice) -> None:
        if self._asks:
            self._redis.deferring = True
            self._board.renew(slice_.id, LEASE_S)
            self._redis.deferring = False
        clock = begin = now + self._house.overhead_s
        for fence in slice_.jobs:
            self._start[fence.job] = clock
            clock += self._workload.length[fence.job]
            self._finish[fence.job] = clock
        heappush(self._ends, (clock, next(self._order), slice_, worker, clock - begin))
