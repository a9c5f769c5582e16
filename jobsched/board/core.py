"""The board: the Redis index of all that waits. Only this package names its keys.

Every change is one Lua script that does one thing whole and is safe to repeat. Nothing here exists only in Redis:
:mod:`jobsched.repair` makes the board again from SQL at any moment.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from jobsched.board.knowing import Knowing
from jobsched.board.presence import Presence
from jobsched.board.reading import Reading
from jobsched.board.rules import SHAPE, fingerprint, layout, numbers
from jobsched.board.scripts import BATCH, batched, flat, legible, text
from jobsched.domain import Band, BoardLost, Fence, SiteFacts, Slice, Tier, WaitingJob
from jobsched.failpoints import failpoint
from jobsched.policy import Policy

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


class Board(Reading, Presence, Knowing):
    """A handle on the board in one Redis. Cheap, and safe to share between threads.

    ``now`` replaces Redis's clock in leases, for a virtual one (seconds since any epoch).

    Every method raises redis.exceptions.ConnectionError or TimeoutError when Redis is away, and BoardLost when
    the board's rules are gone.
    """

    # Its rules

    def install(self, policy: Policy, bands: Sequence[Band], tiers: Sequence[Tier], *, chosen: bool = False) -> str:
        """Write the rules that the board scores by, and return its epoch. An epoch that is there stays.

        Then place all that is pending, and call :meth:`mark_built`. A board of another shape is wiped first; one of
        other bands or tiers has to be. What was placed by another policy keeps its place until :meth:`go_by`.
        ``chosen`` as there.
        """
        rules = numbers(policy, bands, tiers) | {
            "fingerprint": fingerprint(policy, bands, tiers), "layout": layout(bands, tiers), "chosen": _mark(chosen)}
        before, shape = self.redis.hmget(self._key("rules"), ["fingerprint", "shape"])
        if before is not None and text(shape or "") != SHAPE:
            self.wipe()
        elif before is not None and text(before) != rules["fingerprint"]:
            rules["rescoring"] = secrets.token_hex(4)
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.hsetnx(self._key("rules"), "epoch", secrets.token_hex(4))
            pipe.hsetnx(self._key("rules"), "made_at", self._clock() or self._time())
            pipe.hdel(self._key("rules"), "built")
            pipe.hset(self._key("rules"), mapping=cast("Any", rules))
            pipe.hget(self._key("rules"), "epoch")
            return text(pipe.execute()[-1])

    def go_by(self, policy: Policy, bands: Sequence[Band], tiers: Sequence[Tier], *, chosen: bool = False) -> int:
        """Score by another policy from now on, and all that waits again, in one pass; returns how many scores changed.

        Jobs are placed and taken as ever meanwhile. A pass that was cut off is made again by the next call; one that
        comes to its end is over also for others that make it. ``chosen`` is whether the policy was chosen at run time,
        which the board notes. Raises BoardLost when the board has other bands or tiers: then it has to be built again.
        """
        rules = self.rules()
        if rules.layout != layout(bands, tiers):
            raise BoardLost("the board has other bands or tiers: rebuild it from SQL")
        print_ = fingerprint(policy, bands, tiers)
        token = rules.rescoring
        if rules.fingerprint != print_:
            token = secrets.token_hex(4)
            self.redis.hset(self._key("rules"), mapping=cast("Any", {
                **numbers(policy, bands, tiers), "fingerprint": print_, "rescoring": token, "chosen": _mark(chosen)}))
            failpoint("rescore.begun")
        elif rules.chosen != chosen:
            self.redis.hset(self._key("rules"), "chosen", _mark(chosen))
        if token is None:
            return 0
        changed = self._rescore("jobs", "jobs")
        failpoint("rescore.lines_scored")
        changed += self._rescore("sites", "points")
        failpoint("rescore.lanes_scored")
        self._run("rescore", "done", token)
        failpoint("rescore.done")
        return changed

    def _rescore(self, what: str, where: str) -> int:
        scan: Any = self.redis.hscan_iter if what == "jobs" else self.redis.zscan_iter
        ids = (text(id_) for id_, _ in scan(self._key(where), count=BATCH))
        return sum(int(self._run("rescore", what, *batch)) for batch in batched(ids, BATCH))

    def pause_lanes(self, bands: Iterable[str]) -> int:
        """Pause exactly these lanes, by band name; returns how many changed. What is in flight goes on."""
        return int(self._run("pause", *bands))

    def tell_crew(self, crew: Mapping[str, int]) -> None:
        """Tell how many workers listen to each lane, by band name."""
        self.redis.hset(self._key("rules"), mapping={f"crew:{band}": str(n) for band, n in crew.items()})

    def mark_built(self) -> None:
        """Say that all that was pending has been placed since :meth:`install`."""
        self.redis.hset(self._key("rules"), "built", "1")

    def age_s(self) -> float:
        """How long ago the board was made, in seconds."""
        made_at = self.redis.hget(self._key("rules"), "made_at")
        if made_at is None:
            raise BoardLost("the board has no rules: rebuild it from SQL")
        return float(self._clock() or self._time()) - float(text(made_at))

    def wipe(self) -> None:
        """Forget all but who is alive, who holds a lock, and what was measured. The next script raises BoardLost."""
        self.redis.delete(self._key("rules"))
        keep = tuple(self._key(*name) for name in (("alive", ""), ("lock", ""), ("load", ""), ("aims",)))
        for keys in batched(self.redis.scan_iter(match=self._prefix + "*", count=BATCH), BATCH):
            gone = [key for key in keys if not text(key).startswith(keep)]
            if gone:
                self.redis.unlink(*gone)

    def tell_sites(self, sites: Iterable[SiteFacts]) -> int:
        """Tell the board the facts of sites, which hold from now on; returns how many were new or differed."""
        rows = ([site.id, site.record_capacity, repr(site.weight), _limit(site.max_running), _limit(site.rate_per_s),
                 site.burst, int(site.paused)] for site in sites)
        return sum(int(self._run("site", *flat(batch))) for batch in batched(rows, BATCH))

    def tell_users(self, users: Iterable[tuple[int, bool]]) -> int:
        """Tell the board which users count in points; returns how many changed."""
        rows = ([user, int(active)] for user, active in users)
        return sum(int(self._run("user", *flat(batch))) for batch in batched(rows, BATCH))

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

    def hand_on(self, band: str, task: str, slices: int, *, budget_s: float, lease_s: float,
                most_jobs: int = MOST_JOBS) -> list[Slice]:
        """Cut up to ``slices`` slices of what was set aside for lack of a task; as :meth:`take`."""
        rows = self._run("hand_on", band, task, slices, repr(budget_s), most_jobs, repr(lease_s), self._clock())
        return [_slice(band, [text(value) for value in row]) for row in rows]

    def asides(self) -> list[tuple[str, str]]:
        """For which (band, task) jobs are set aside."""
        pairs = sorted(legible(pair) for pair in self.redis.smembers(self._key("asides")))
        return [(band, task) for band, _, task in (pair.partition(" ") for pair in pairs)]

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
        return self.redis.blpop([self._key("doorbell")], timeout=max(timeout_s, 0.01)) is not None

    def ring(self) -> None:
        """Ring the doorbell: who sleeps longest wakes; when nobody does, the next one will not fall asleep."""
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.lpush(self._key("doorbell"), 1)
            pipe.ltrim(self._key("doorbell"), 0, 0)
            pipe.execute()

    # Repair

    def expired(self, limit: int) -> dict[str, tuple[str, list[int]]]:
        """Up to ``limit`` slices whose lease has run out, oldest first: slice to its band and its jobs."""
        now = self._clock() or self._time()
        ids = self.redis.zrange(self._key("flight"), "-inf", now, byscore=True, offset=0, num=limit)
        return self._carried([text(slice_id) for slice_id in ids])

    def flying(self) -> dict[str, tuple[str, list[int]]]:
        """All slices in flight: slice to its band and its jobs. The dispatcher's windows keep them few."""
        return self._carried([text(slice_id) for slice_id in self.redis.zrange(self._key("flight"), 0, -1)])

    def known(self, jobs: Sequence[int]) -> set[int]:
        """Those of ``jobs`` that are on the board, waiting or in flight."""
        known: set[int] = set()
        for batch in batched(jobs, BATCH):
            entries = self.redis.hmget(self._key("jobs"), [str(job) for job in batch])
            known.update(job for job, entry in zip(batch, entries, strict=True) if entry is not None)
        return known

    def some_jobs(self, cursor: int, count: int) -> tuple[int, dict[int, WaitingJob]]:
        """About ``count`` jobs on the board from a scan cursor (0: the start) on, by id, and the next cursor."""
        scanned: Any = self.redis.hscan(self._key("jobs"), cursor, count=count)
        cursor, entries = scanned
        return int(cursor), {int(job): _entry(int(job), text(entry)) for job, entry in entries.items()}

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
            slice_id: (text(band or ""), [int(job) for job in text(jobs or "").split()])
            for slice_id, (band, jobs) in zip(slice_ids, rows, strict=True)
        }


def _mark(yes: bool) -> str:
    return "1" if yes else "0"


def _limit(value: float | None) -> str:
    return "" if value is None else repr(value)


def _slice(band: str, row: Sequence[str]) -> Slice:
    slice_id, site, points, now, fences = row
    pairs = (fence.split(":") for fence in fences.split())
    return Slice(slice_id, int(site), band, int(float(points)), float(now),
                 tuple(Fence(int(job), int(attempt)) for job, attempt in pairs))


def _entry(job: int, packed: str) -> WaitingJob:
    site, user, band, seconds, attempt, enqueued_at, *_ = packed.split(" ")
    return WaitingJob(job, int(site), int(user), band, float(seconds), int(attempt), float(enqueued_at))
