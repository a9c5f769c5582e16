"""The board: the Redis index of all waiting jobs. Only this package knows the names of its keys.

Every change is one Lua script that is atomic and safe to repeat. Redis holds nothing that SQL does not:
:mod:`jobsched.dispatch.repair` can rebuild the board at any moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from redis import Redis

from jobsched.board.codes import Codes
from jobsched.board.inspection import Inspection
from jobsched.board.older import OlderBoards
from jobsched.board.parse import identity, legible, number, text, whole
from jobsched.board.presence import Presence
from jobsched.board.rulebook import Rulebook
from jobsched.board.store import BATCH, PREFIX, Part, Store, batched, items, readable
from jobsched.board.upkeep import Upkeep
from jobsched.board.view import View
from jobsched.domain import Fence, SiteFacts, Slice, WaitingJob

#: The most jobs of one slice.
MOST_JOBS = 100


class HeldJob(Protocol):
    """What the board needs of a job that a worker holds."""

    @property
    def id(self) -> int: ...
    @property
    def user(self) -> int: ...
    @property
    def execution_time(self) -> float: ...
    @property
    def attempt(self) -> int: ...


class Board(Part):
    """A handle on the board in one Redis. Cheap, and safe to share between threads.

    Its own methods are the road of a job, and the facts of sites and users by which it goes; beside it stand ``rules``
    (what it scores by, and its state), ``view`` (how full it is, why a job waits), ``presence`` and ``codes`` (which
    processes live, and what they know), and, for the sweep, ``upkeep``, ``inspection`` and ``older``.

    ``now`` replaces Redis's clock in leases, for a virtual one (seconds since any epoch).

    Every method raises redis.exceptions.ConnectionError or TimeoutError when Redis is away, BoardLost when the board's
    rules are gone, and BoardBroken, which is a BoardLost, when something on it can not be read.
    """

    def __init__(self, redis: Redis, *, prefix: str = PREFIX, now: float | None = None) -> None:
        super().__init__(Store(redis, prefix=prefix, now=now))
        self.redis = redis
        self.rules = Rulebook(self._store)
        self.view = View(self._store, self.rules)
        self.presence = Presence(self._store)
        self.codes = Codes(self._store)
        self.upkeep = Upkeep(self._store)
        self.inspection = Inspection(self._store)
        self.older = OlderBoards(self._store)

    @property
    def now(self) -> float | None:
        """The virtual time; None: Redis's own."""
        return self._store.now

    @now.setter
    def now(self, now: float | None) -> None:
        self._store.now = now

    # The facts by which it goes

    def update_sites(self, sites: Iterable[SiteFacts]) -> int:
        """Take over the facts of sites, which hold from now on; returns how many were new or differed."""
        rows = ({"id": site.id, "capacity": site.record_capacity, "weight": repr(site.weight),
                 "max_running": _limit(site.max_running), "rate": _limit(site.rate_per_s), "burst": site.burst,
                 "paused": int(site.paused)} for site in sites)
        return sum(int(self._store.run("site", *items(batch))) for batch in batched(rows, BATCH))

    def update_users(self, users: Iterable[tuple[int, bool]]) -> int:
        """Take over which users count in points; returns how many changed."""
        rows = ({"id": user, "active": int(active)} for user, active in users)
        return sum(int(self._store.run("user", *items(batch))) for batch in batched(rows, BATCH))

    @readable
    def forget_site(self, site: int) -> None:
        """Drop the facts of a site that has no jobs left."""
        self._redis.delete(self._key("site", site), self._key("tiers", site))
        self._redis.zrem(self._key("due"), site)

    # The road of a job

    def place(self, jobs: Iterable[WaitingJob], *, arriving: bool = True) -> int:
        """Put jobs on their lines and ring the doorbell; returns how many were not on the board yet.

        Those that are ``arriving`` count as load, unless their site is paused.
        """
        rows = ({"id": job.id, "site": job.site, "user": job.user, "band": job.band, "attempt": job.attempt,
                 "seconds": repr(job.execution_time), "enqueued_at": repr(job.enqueued_at)} for job in jobs)
        when = self._store.clock()
        return sum(int(self._store.run("place", when, int(arriving), *items(batch))) for batch in batched(rows, BATCH))

    @readable
    def take(
        self, band: str, slices: int, *, budget_s: float, lease_s: float, most_jobs: int = MOST_JOBS
    ) -> list[Slice]:
        """Cut up to ``slices`` slices for a lane, best site first; each goes into flight with a lease.

        A slice carries its site's first job, and further ones while their estimates fit ``budget_s``. A call whose
        reply is lost leaves its slices in flight; their lease brings them back.
        """
        rows = self._store.run("take", band, slices, repr(budget_s), most_jobs, repr(lease_s), self._store.clock())
        return [_slice(band, [text(value) for value in row]) for row in rows]

    def renew(self, slice_id: str, lease_s: float, *, started: bool = True) -> bool:
        """Extend the lease of a slice from now on; False when it is not in flight any more.

        The first time that it has ``started``, the doorbell rings: its place in the RQ queue is free again.
        """
        return bool(self._store.run("renew", slice_id, repr(lease_s), self._store.clock(), int(started)))

    def adopt(self, slice_: Slice, jobs: Iterable[HeldJob], lease_s: float) -> bool:
        """Put a slice that a worker holds back into flight, when the board has forgotten it; False when it knows it."""
        rows = [{"id": job.id, "user": job.user, "seconds": repr(job.execution_time), "attempt": job.attempt}
                for job in jobs]
        what = (slice_.id, slice_.site, slice_.band, repr(lease_s))
        return bool(self._store.run("adopt", *what, self._store.clock(), *items(rows)))

    def set_aside(self, slice_id: str, jobs: Mapping[int, str]) -> int:
        """Take jobs, with their tasks, out of a slice whose worker does not know these; returns how many.

        They are in no line, nor in flight, until :meth:`hand_on` cuts slices of them for workers that know their task.
        """
        rows = [{"id": job, "task": task} for job, task in jobs.items()]
        return int(self._store.run("set_aside", slice_id, *items(rows)))

    @readable
    def hand_on(self, band: str, task: str, slices: int, *, budget_s: float, lease_s: float,
                most_jobs: int = MOST_JOBS) -> list[Slice]:
        """Cut up to ``slices`` slices of what was set aside for lack of a task; as :meth:`take`."""
        what = (band, task, slices, repr(budget_s), most_jobs, repr(lease_s))
        rows = self._store.run("hand_on", *what, self._store.clock())
        return [_slice(band, [text(value) for value in row]) for row in rows]

    @readable
    def asides(self) -> list[tuple[str, str]]:
        """For which (band, task) jobs are set aside."""
        pairs = sorted(legible(pair) for pair in self._redis.smembers(self._key("asides")))
        return [(band, task) for band, _, task in (pair.partition(" ") for pair in pairs)]

    @readable
    def holds(self, slice_id: str) -> bool:
        """Whether a slice is in flight."""
        return bool(self._redis.exists(self._key("slice", slice_id)))

    def settle(self, slice_id: str, used_s: float | None) -> bool:
        """End a slice, and charge ``used_s`` (None: not known) in place of its estimate; False when it had ended."""
        return bool(self._store.run("settle", slice_id, "" if used_s is None else repr(used_s), self._store.clock()))

    def drop(self, jobs: Iterable[int]) -> dict[int, int]:
        """Take jobs off their lines. Maps each to 1 (dropped), 0 (not on the board) or -1 (in flight: left there)."""
        outcomes: dict[int, int] = {}
        for batch in batched(dict.fromkeys(jobs), BATCH):
            outcomes.update(zip(batch, self._store.run("drop", *batch), strict=True))
        return outcomes

    def release(self, limit: int = 1000) -> float | None:
        """Let go up to ``limit`` sites that their rate has held long enough; returns the seconds until the next is due.

        None: no site is held by its rate.
        """
        coming = text(self._store.run("release", self._store.clock(), limit))
        return float(coming) if coming else None

    def wait(self, timeout_s: float) -> bool:
        """Sleep until the doorbell rings; False when it did not within ``timeout_s``."""
        # To Redis a timeout of 0 means for ever, and so does 0.001 to 6.2, which rounds it down.
        bell, timeout_s = self._key("doorbell"), max(timeout_s, 0.01)
        return self._store.or_anew(bell, lambda: self._redis.blpop([bell], timeout=timeout_s)) is not None

    def ring(self) -> None:
        """Ring the doorbell: the dispatcher that sleeps longest wakes; while none sleeps, the next stays awake."""
        bell = self._key("doorbell")

        def push() -> None:
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.lpush(bell, 1)
                pipe.ltrim(bell, 0, 0)
                pipe.execute()

        self._store.or_anew(bell, push)

    # The whole board

    def probe(self) -> None:
        """Do nothing that Redis counts as a write. Raises RedisError when it takes none: when it is full, for one."""
        self._redis.setrange(self._key("probe"), 0, "")

    def wipe(self, *, measured: bool = False) -> None:
        """Forget all but which processes live, what is locked, and what went wrong: the next script raises BoardLost.

        What was ``measured`` goes along only where that is said.
        """
        self._store.wipe(measured=measured)


def _limit(value: float | None) -> str:
    return "" if value is None else repr(value)


def _slice(band: str, row: Sequence[str]) -> Slice:
    slice_id, site, points, now, fences = row
    pairs = (fence.split(":") for fence in fences.split())
    return Slice(slice_id, identity(site), band, whole(points), number(now),
                 tuple(Fence(int(job), int(attempt)) for job, attempt in pairs))
