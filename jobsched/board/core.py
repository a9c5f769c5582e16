"""The board: the Redis index of all waiting jobs. Only this package knows the names of its keys.

Every change is one Lua script that is atomic and safe to repeat. Redis holds nothing that SQL does not:
:mod:`jobsched.dispatch.repair` can rebuild the board at any moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from jobsched.base import aside
from jobsched.board.checked import identity, number, whole
from jobsched.board.inspection import Inspection
from jobsched.board.knowing import Knowing
from jobsched.board.older import Older
from jobsched.board.ruling import Ruling
from jobsched.board.scripts import BATCH, VALUES, batched, flat, legible, readable, text
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


class Board(Ruling, Inspection, Knowing, Older):
    """A handle on the board in one Redis. Cheap, and safe to share between threads.

    ``now`` replaces Redis's clock in leases, for a virtual one (seconds since any epoch).

    Every method raises redis.exceptions.ConnectionError or TimeoutError when Redis is away, BoardLost when the board's
    rules are gone, and BoardBroken, which is a BoardLost, when something on it can not be read.
    """

    # What it knows of sites and users

    def tell_sites(self, sites: Iterable[SiteFacts]) -> int:
        """Tell the board the facts of sites, which hold from now on; returns how many were new or differed."""
        rows = ([site.id, site.record_capacity, repr(site.weight), _limit(site.max_running), _limit(site.rate_per_s),
                 site.burst, int(site.paused)] for site in sites)
        return sum(int(self._run("site", *flat(batch))) for batch in batched(rows, BATCH))

    def tell_users(self, users: Iterable[tuple[int, bool]]) -> int:
        """Tell the board which users count in points; returns how many changed."""
        rows = ([user, int(active)] for user, active in users)
        return sum(int(self._run("user", *flat(batch))) for batch in batched(rows, BATCH))

    @readable
    def forget_site(self, site: int) -> None:
        """Drop the facts of a site that has no jobs left."""
        self.redis.delete(self._key("site", site), self._key("tiers", site))
        self.redis.zrem(self._key("due"), site)

    # A job's way

    def place(self, jobs: Iterable[WaitingJob], *, arriving: bool = True) -> int:
        """Put jobs on their lines and ring the doorbell; returns how many were not on the board yet.

        Those that are ``arriving`` count as load, unless their site is paused.
        """
        rows = ([job.id, job.site, job.user, job.band, repr(job.execution_time), job.attempt, repr(job.enqueued_at)]
                for job in jobs)
        told = (self._clock(), int(arriving))
        return sum(int(self._run("place", *told, *flat(batch))) for batch in batched(rows, BATCH))

    @readable
    def take(
        self, band: str, slices: int, *, budget_s: float, lease_s: float, most_jobs: int = MOST_JOBS
    ) -> list[Slice]:
        """Cut up to ``slices`` slices for a lane, best site first; each goes into flight with a lease.

        A slice carries its site's first job, and further ones while their estimates fit ``budget_s``. A call whose
        reply is lost leaves its slices in flight; their lease brings them back.
        """
        rows = self._run("take", band, slices, repr(budget_s), most_jobs, repr(lease_s), self._clock())
        return [_slice(band, [text(value) for value in row]) for row in rows]

    def renew(self, slice_id: str, lease_s: float, *, started: bool = True) -> bool:
        """Extend the lease of a slice from now on; False when it is not in flight any more.

        The first time that it has ``started``, the doorbell rings: its place in the RQ queue is free again.
        """
        return bool(self._run("renew", slice_id, repr(lease_s), self._clock(), int(started)))

    def adopt(self, slice_: Slice, jobs: Iterable[HeldJob], lease_s: float) -> bool:
        """Put a slice that a worker holds back into flight, when the board has forgotten it; False when it knows it."""
        rows = ([job.id, job.user, repr(job.execution_time), job.attempt] for job in jobs)
        return bool(self._run("adopt", slice_.id, slice_.site, slice_.band, repr(lease_s), self._clock(), *flat(rows)))

    def set_aside(self, slice_id: str, jobs: Mapping[int, str]) -> int:
        """Take jobs, with their tasks, out of a slice whose worker does not know these; returns how many.

        They are in no line, nor in flight, until :meth:`hand_on` cuts slices of them for workers that know their task.
        """
        return int(self._run("set_aside", slice_id, *flat(jobs.items())))

    @readable
    def hand_on(self, band: str, task: str, slices: int, *, budget_s: float, lease_s: float,
                most_jobs: int = MOST_JOBS) -> list[Slice]:
        """Cut up to ``slices`` slices of what was set aside for lack of a task; as :meth:`take`."""
        rows = self._run("hand_on", band, task, slices, repr(budget_s), most_jobs, repr(lease_s), self._clock())
        return [_slice(band, [text(value) for value in row]) for row in rows]

    @readable
    def asides(self) -> list[tuple[str, str]]:
        """For which (band, task) jobs are set aside."""
        pairs = sorted(legible(pair) for pair in self.redis.smembers(self._key("asides")))
        return [(band, task) for band, _, task in (pair.partition(" ") for pair in pairs)]

    @readable
    def holds(self, slice_id: str) -> bool:
        """Whether a slice is in flight."""
        return bool(self.redis.exists(self._key("slice", slice_id)))

    def settle(self, slice_id: str, used_s: float | None) -> bool:
        """End a slice, and charge ``used_s`` (None: not known) in place of its estimate; False when it had ended."""
        return bool(self._run("settle", slice_id, "" if used_s is None else repr(used_s), self._clock()))

    def drop(self, jobs: Iterable[int]) -> dict[int, int]:
        """Take jobs off their lines. Maps each to 1 (dropped), 0 (not on the board) or -1 (in flight: left there)."""
        outcomes: dict[int, int] = {}
        for batch in batched(dict.fromkeys(jobs), BATCH):
            outcomes.update(zip(batch, self._run("drop", *batch), strict=True))
        return outcomes

    def release(self, limit: int = 1000) -> float | None:
        """Let go up to ``limit`` sites that their rate has held long enough; returns the seconds until the next is due.

        None: no site is held by its rate.
        """
        coming = text(self._run("release", self._clock(), limit))
        return float(coming) if coming else None

    def wait(self, timeout_s: float) -> bool:
        """Sleep until the doorbell rings; False when it did not within ``timeout_s``."""
        # To Redis a timeout of 0 means for ever, and so does 0.001 to 6.2, which rounds it down.
        bell, timeout_s = self._key("doorbell"), max(timeout_s, 0.01)
        return self._or_anew(bell, lambda: self.redis.blpop([bell], timeout=timeout_s)) is not None

    def ring(self) -> None:
        """Ring the doorbell: who sleeps longest wakes; when nobody does, the next one will not fall asleep."""
        bell = self._key("doorbell")

        def push() -> None:
            with self.redis.pipeline(transaction=True) as pipe:
                pipe.lpush(bell, 1)
                pipe.ltrim(bell, 0, 0)
                pipe.execute()

        self._or_anew(bell, push)

    # Repair

    @readable
    def expired(self, limit: int) -> dict[str, tuple[str, list[int]]]:
        """Up to ``limit`` slices whose lease has run out, oldest first: slice to its band and its jobs."""
        now = self._clock() or self._time()
        ids = self.redis.zrange(self._key("flight"), "-inf", now, byscore=True, offset=0, num=limit)
        return self._carried([text(slice_id) for slice_id in ids])

    @readable
    def flying(self) -> dict[str, tuple[str, list[int]]]:
        """All slices in flight: slice to its band and its jobs. The dispatcher's windows keep them few."""
        return self._carried([text(slice_id) for slice_id in self.redis.zrange(self._key("flight"), 0, -1)])

    @readable
    def known(self, jobs: Sequence[int]) -> set[int]:
        """Those of ``jobs`` that are on the board, waiting or in flight."""
        known: set[int] = set()
        for batch in batched(jobs, BATCH):
            entries = self.redis.hmget(self._key("jobs"), [str(job) for job in batch])
            known.update(job for job, entry in zip(batch, entries, strict=True) if entry is not None)
        return known

    @readable
    def some_jobs(self, cursor: int, count: int) -> tuple[int, dict[int, WaitingJob]]:
        """About ``count`` jobs on the board from a scan cursor (0: the start) on, by id, and the next cursor.

        Entries that can not be read are set aside: to the scripts they are not there.
        """
        scanned: Any = self.redis.hscan(self._key("jobs"), cursor, count=count)
        cursor, entries = scanned
        jobs = {field: _entry(field, packed) for field, packed in entries.items()}
        foreign = [field for field, job in jobs.items() if job is None]
        for fields in batched(foreign, BATCH):
            self.redis.hdel(self._key("jobs"), *fields)
        if foreign:
            aside.counted(self.redis, VALUES, f"entries of jobs, {text(foreign[0])[:50]!r} for one", len(foreign))
        return int(cursor), {job.id: job for job in jobs.values() if job}

    def recount(self, site: int, most_jobs: int = 20_000) -> int:
        """Mend a site's counts and points from its lines; returns how many numbers were wrong. O(the site's jobs).

        Does nothing above ``most_jobs`` waiting jobs: Redis can do nothing else meanwhile, for about 4 us a job.
        """
        return int(self._run("recount", site, most_jobs, self._clock()))

    def recount_lanes(self, most_sites: int) -> int:
        """Mend the lanes' counts; returns how many were wrong. Does nothing above ``most_sites`` waiting sites."""
        return int(self._run("recount_lanes", most_sites))

    def bring_back_the_future(self, lease_s: float) -> int:
        """Mend what a clock that was put back has left in the future; returns how many moments were wrong."""
        return int(self._run("future", repr(lease_s), self._clock()))

    # Its inside

    def _carried(self, slice_ids: Sequence[str]) -> dict[str, tuple[str, list[int]]]:
        with self.redis.pipeline(transaction=False) as pipe:
            for slice_id in slice_ids:
                pipe.hmget(self._key("slice", slice_id), ["band", "jobs"])
            rows = pipe.execute()
        return {
            slice_id: (text(band or ""), [int(job) for job in text(jobs or "").split() if job.isdecimal()])
            for slice_id, (band, jobs) in zip(slice_ids, rows, strict=True)
        }


def _limit(value: float | None) -> str:
    return "" if value is None else repr(value)


def _slice(band: str, row: Sequence[str]) -> Slice:
    slice_id, site, points, now, fences = row
    pairs = (fence.split(":") for fence in fences.split())
    return Slice(slice_id, identity(site), band, whole(points), number(now),
                 tuple(Fence(int(job), int(attempt)) for job, attempt in pairs))


def _entry(field: Any, packed: Any) -> WaitingJob | None:
    """A job as the board has it; None for an entry that can not be read."""
    try:
        site, user, band, seconds, attempt, enqueued_at, _, tag = text(packed).split(" ")
        number(tag)
        return WaitingJob(identity(field), identity(site), identity(user), band, number(seconds), int(attempt),
                          number(enqueued_at))
    except ValueError:
        return None
