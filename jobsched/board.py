"""The board: the Redis index of all that waits. Only this module and ``lua/`` name its keys.

Every change is one Lua script that does one thing whole and is safe to repeat. Nothing here exists only in Redis:
:mod:`jobsched.repair` makes the board again from SQL at any moment.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from redis import Redis
from redis.commands.core import Script
from redis.exceptions import LockError, ResponseError

from jobsched.domain import Band, BoardLost, Fence, SiteFacts, Slice, Tier, WaitingJob
from jobsched.policy import Policy

T = TypeVar("T")

PREFIX = "jobsched:"
#: The most jobs of one slice.
MOST_JOBS = 100
#: Jobs that one call of a script takes on; more are handed over in several calls.
BATCH = 500

_LUA = Path(__file__).parent / "lua"
_SCRIPTS = ("place", "take", "settle", "renew", "adopt", "drop", "site", "user", "recount", "recount_lanes")


@dataclass(frozen=True)
class LaneCount:
    """How full a lane is, in jobs; ``sites`` may be served now."""

    band: str
    sites: int
    waiting: int
    flying: int


@dataclass(frozen=True)
class SiteStanding:
    """A site on the board. ``pending`` and ``places`` (1 is next) are by band; a site that does not wait has none."""

    id: int
    points: int
    tiers: int
    record_capacity: int
    running: int
    place: int | None
    pending: Mapping[str, int]
    places: Mapping[str, int]


@dataclass(frozen=True)
class Ranked:
    """One row of a lane's order: the site, its score, and the parts that add up to it."""

    site: int
    score: float
    waiting: int
    points: int
    boost: float
    share: float
    age: float
    size: float


@dataclass(frozen=True)
class Rules:
    """What the board scores by. Two boards with the same ``fingerprint`` score alike."""

    epoch: str
    policy: str
    bands: tuple[str, ...]
    fingerprint: str
    #: False while what was pending is still being placed.
    built: bool


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


class Board:
    """A handle on the board in one Redis. Cheap, and safe to share between threads.

    ``now`` replaces Redis's clock in leases, for a virtual one (seconds since any epoch).

    Every method raises redis.exceptions.ConnectionError or TimeoutError when Redis is away, and BoardLost when
    the board's rules are gone.
    """

    def __init__(self, redis: Redis, *, prefix: str = PREFIX, now: float | None = None) -> None:
        self.redis = redis
        self._prefix = prefix
        self.now = now
        lib = (_LUA / "lib.lua").read_text()
        self._scripts: dict[str, Script] = {
            name: redis.register_script(lib + (_LUA / f"{name}.lua").read_text()) for name in _SCRIPTS
        }

    # Its rules

    def install(self, policy: Policy, bands: Sequence[Band], tiers: Sequence[Tier]) -> str:
        """Write the rules that the board scores by, and return its epoch. An epoch that is there stays.

        What is placed keeps the place it has: wipe and rebuild the board when the fingerprint changes.
        """
        rules = _rules(policy, bands, tiers) | {"fingerprint": fingerprint(policy, bands, tiers)}
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.hsetnx(self._key("rules"), "epoch", secrets.token_hex(4))
            pipe.hsetnx(self._key("rules"), "made_at", self._clock() or self._time())
            pipe.hset(self._key("rules"), mapping=cast("Any", rules))
            pipe.hget(self._key("rules"), "epoch")
            return _text(pipe.execute()[-1])

    def rules(self) -> Rules:
        """What the board scores by now."""
        *fields, built = self.redis.hmget(self._key("rules"), ["epoch", "policy", "bands", "fingerprint", "built"])
        if None in fields:
            raise BoardLost("the board has no rules: rebuild it from SQL")
        epoch, policy, bands, print_ = (_text(field) for field in fields)
        return Rules(epoch, policy, tuple(bands.split()), print_, built is not None)

    def mark_built(self) -> None:
        """Say that all that was pending has been placed since :meth:`install`."""
        self.redis.hset(self._key("rules"), "built", "1")

    def age_s(self) -> float:
        """How long ago the board was made, in seconds."""
        made_at = self.redis.hget(self._key("rules"), "made_at")
        if made_at is None:
            raise BoardLost("the board has no rules: rebuild it from SQL")
        return float(self._clock() or self._time()) - float(_text(made_at))

    def wipe(self) -> None:
        """Forget everything but who is alive and who holds a lock. The next call of a script raises BoardLost."""
        self.redis.delete(self._key("rules"))
        keep = (self._key("alive", ""), self._key("lock", ""))
        for keys in _batched(self.redis.scan_iter(match=self._prefix + "*", count=BATCH), BATCH):
            gone = [key for key in keys if not _text(key).startswith(keep)]
            if gone:
                self.redis.unlink(*gone)

    def tell_sites(self, sites: Iterable[SiteFacts]) -> int:
        """Tell the board the facts of sites; returns how many were new or differed."""
        rows = ([site.id, site.record_capacity, repr(site.weight)] for site in sites)
        return sum(int(self._run("site", *_flat(batch))) for batch in _batched(rows, BATCH))

    def tell_users(self, users: Iterable[tuple[int, bool]]) -> int:
        """Tell the board which users count in points; returns how many changed."""
        rows = ([user, int(active)] for user, active in users)
        return sum(int(self._run("user", *_flat(batch))) for batch in _batched(rows, BATCH))

    def forget_site(self, site: int) -> None:
        """Drop the facts of a site that has no jobs left."""
        self.redis.delete(self._key("site", site), self._key("tiers", site))

    # A job's way

    def place(self, jobs: Iterable[WaitingJob]) -> int:
        """Put jobs on their lines and ring the doorbell; returns how many were not on the board yet."""
        rows = ([job.id, job.site, job.user, job.band, repr(job.execution_time), job.attempt, repr(job.enqueued_at)]
                for job in jobs)
        return sum(int(self._run("place", *_flat(batch))) for batch in _batched(rows, BATCH))

    def take(
        self, band: str, slices: int, *, budget_s: float, lease_s: float, most_jobs: int = MOST_JOBS
    ) -> list[Slice]:
        """Cut up to ``slices`` slices for a lane, best site first; each goes into flight with a lease.

        A slice carries its site's first job, and further ones while their estimates fit ``budget_s``. A call whose
        reply is lost leaves its slices in flight; their lease brings them back.
        """
        rows = self._run("take", band, slices, repr(budget_s), most_jobs, repr(lease_s), self._clock())
        return [_slice(band, [_text(value) for value in row]) for row in rows]

    def renew(self, slice_id: str, lease_s: float, *, started: bool = True) -> bool:
        """Extend the lease of a slice from now on; False when it is not in flight any more.

        The first time that it has ``started``, the doorbell rings: its place in the RQ queue is free again.
        """
        return bool(self._run("renew", slice_id, repr(lease_s), self._clock(), int(started)))

    def adopt(self, slice_: Slice, jobs: Iterable[HeldJob], lease_s: float) -> bool:
        """Put a slice that a worker holds back into flight, when the board has forgotten it; False when it knows it."""
        rows = ([job.id, job.user, repr(job.execution_time), job.attempt] for job in jobs)
        return bool(self._run("adopt", slice_.id, slice_.site, slice_.band, repr(lease_s), self._clock(), *_flat(rows)))

    def holds(self, slice_id: str) -> bool:
        """Whether a slice is in flight."""
        return bool(self.redis.exists(self._key("slice", slice_id)))

    def settle(self, slice_id: str, used_s: float | None) -> bool:
        """End a slice, and charge ``used_s`` (None: not known) in place of its estimate; False when it had ended."""
        return bool(self._run("settle", slice_id, "" if used_s is None else repr(used_s)))

    def drop(self, jobs: Iterable[int]) -> dict[int, int]:
        """Take jobs off their lines. Maps each to 1 (dropped), 0 (not on the board) or -1 (in flight: left there)."""
        outcomes: dict[int, int] = {}
        for batch in _batched(dict.fromkeys(jobs), BATCH):
            outcomes.update(zip(batch, self._run("drop", *batch), strict=True))
        return outcomes

    def wait(self, timeout_s: float) -> bool:
        """Sleep until the doorbell rings; False when it did not within ``timeout_s``."""
        # To Redis a timeout of 0 means for ever, and so does 0.001 to 6.2, which rounds it down.
        return self.redis.blpop([self._key("doorbell")], timeout=max(timeout_s, 0.01)) is not None

    # Who is alive

    def beat(self, kind: str, name: str, ttl_s: float) -> None:
        """Say that a process of some kind (``dispatcher``, ``worker``) is alive, for ``ttl_s`` from now on."""
        now = float(self._time())
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.zadd(self._key("alive", kind), {name: now + ttl_s})
            pipe.zremrangebyscore(self._key("alive", kind), "-inf", now - 3600)
            pipe.execute()

    def rest(self, kind: str, name: str) -> None:
        """Say that a process ends on purpose."""
        self.redis.zrem(self._key("alive", kind), name)

    def alive(self, kind: str) -> list[str]:
        """The names of the living processes of a kind."""
        names = self.redis.zrange(self._key("alive", kind), self._time(), "+inf", byscore=True)
        return [_text(name) for name in names]

    @contextmanager
    def sole(self, what: str, ttl_s: float) -> Iterator[Callable[[], None] | None]:
        """None when somebody else does ``what`` now; else nobody will until the block ends, or ``ttl_s`` have passed.

        A call of what it gives lets the ``ttl_s`` begin anew.
        """
        lock = self.redis.lock(self._key("lock", what), timeout=ttl_s, blocking=False)

        def stay() -> None:
            with suppress(LockError):  # it ran out; somebody else may hold it now
                lock.reacquire()

        held = lock.acquire()
        try:
            yield stay if held else None
        finally:
            if held:
                with suppress(LockError):
                    lock.release()

    # Repair

    def expired(self, limit: int) -> dict[str, tuple[str, list[int]]]:
        """Up to ``limit`` slices whose lease has run out, oldest first: slice to its band and its jobs."""
        now = self._clock() or self._time()
        ids = self.redis.zrange(self._key("flight"), "-inf", now, byscore=True, offset=0, num=limit)
        return self._carried([_text(slice_id) for slice_id in ids])

    def flying(self) -> dict[str, tuple[str, list[int]]]:
        """All slices in flight: slice to its band and its jobs. The dispatcher's windows keep them few."""
        return self._carried([_text(slice_id) for slice_id in self.redis.zrange(self._key("flight"), 0, -1)])

    def known(self, jobs: Sequence[int]) -> set[int]:
        """Those of ``jobs`` that are on the board, waiting or in flight."""
        known: set[int] = set()
        for batch in _batched(jobs, BATCH):
            entries = self.redis.hmget(self._key("jobs"), [str(job) for job in batch])
            known.update(job for job, entry in zip(batch, entries, strict=True) if entry is not None)
        return known

    def some_jobs(self, cursor: int, count: int) -> tuple[int, dict[int, WaitingJob]]:
        """About ``count`` jobs on the board from a scan cursor (0: the start) on, by id, and the next cursor."""
        scanned: Any = self.redis.hscan(self._key("jobs"), cursor, count=count)
        cursor, entries = scanned
        return int(cursor), {int(job): _entry(int(job), _text(entry)) for job, entry in entries.items()}

    def recount(self, site: int, most_jobs: int = 20_000) -> int:
        """Mend a site's counts and points from its lines; returns how many numbers were wrong. O(the site's jobs).

        Does nothing above ``most_jobs`` waiting jobs: Redis can do nothing else meanwhile, for about 4 us a job.
        """
        return int(self._run("recount", site, most_jobs))

    def recount_lanes(self, most_sites: int) -> int:
        """Mend the lanes' counts; returns how many were wrong. Does nothing above ``most_sites`` waiting sites."""
        return int(self._run("recount_lanes", most_sites))

    # Reading

    def lanes(self) -> list[LaneCount]:
        """How full each lane is, shortest band first."""
        bands = self.rules().bands
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(self._key("lanes"))
            for band in bands:
                pipe.zcard(self._key("lane", band))
            counts, *sites = pipe.execute()
        numbers = {_text(field): _text(value) for field, value in counts.items()}
        return [
            LaneCount(band, n, int(numbers.get(f"waiting:{band}", 0)), int(numbers.get(f"flying:{band}", 0)))
            for band, n in zip(bands, sites, strict=True)
        ]

    def standing(self, site: int) -> SiteStanding:
        """Where a site stands: its points with their parts, what waits by band, its place in each lane."""
        bands = self.rules().bands
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.hmget(self._key("site", site), ["capacity", "tiers", "running"])
            pipe.zscore(self._key("points"), site)
            pipe.zrevrank(self._key("points"), site)
            for band in bands:
                pipe.zcard(self._key("line", site, band))
                pipe.zrevrank(self._key("lane", band), site)
            (capacity, tiers, running), points, place, *rest = pipe.execute()
        lengths, ranks = rest[::2], rest[1::2]
        return SiteStanding(
            id=site,
            points=int(points if points is not None else capacity or 1),
            tiers=int(tiers or 0),
            record_capacity=int(capacity or 1),
            running=int(running or 0),
            place=None if place is None else place + 1,
            pending={band: n for band, n in zip(bands, lengths, strict=True) if n},
            places={band: rank + 1 for band, rank in zip(bands, ranks, strict=True) if rank is not None},
        )

    def ranking(self, band: str, limit: int) -> list[Ranked]:
        """The first ``limit`` sites of a lane in the order they go, each with the parts of its score."""
        self.rules()
        order: Any = self.redis.zrange(self._key("lane", band), 0, limit - 1, desc=True, withscores=True)
        weights = [float(value or 0) for value in self.redis.hmget(
            self._key("rules"), [f"{band}:boost", "share", "age", "size", "points_cap"])]
        with self.redis.pipeline(transaction=False) as pipe:
            for site, _ in order:
                pipe.zscore(self._key("points"), site)
                pipe.hget(self._key("site", _text(site)), f"tag:{band}")
                pipe.zcard(self._key("line", _text(site), band))
                pipe.zrange(self._key("line", _text(site), band), 0, 0)
            rows = list(_batched(pipe.execute(), 4))
        heads = [_text(row[3][0])[1:] if row[3] else "" for row in rows]  # without the letter of lib.lua's on_line
        entries = self.redis.hmget(self._key("jobs"), heads) if heads else []
        return [
            _ranked(int(site), score, row, entry, weights)
            for (site, score), row, entry in zip(order, rows, entries, strict=True)
        ]

    # Its inside

    def _carried(self, slice_ids: Sequence[str]) -> dict[str, tuple[str, list[int]]]:
        with self.redis.pipeline(transaction=False) as pipe:
            for slice_id in slice_ids:
                pipe.hmget(self._key("slice", slice_id), ["band", "jobs"])
            rows = pipe.execute()
        return {
            slice_id: (_text(band or ""), [int(job) for job in _text(jobs or "").split()])
            for slice_id, (band, jobs) in zip(slice_ids, rows, strict=True)
        }

    def _run(self, script: str, *args: Any) -> Any:
        try:
            return self._scripts[script](keys=[self._prefix], args=args)
        except ResponseError as error:
            if "BOARDLOST" in str(error):
                raise BoardLost(str(error)) from error
            raise

    def _clock(self) -> str:
        return "" if self.now is None else repr(self.now)

    def _time(self) -> str:
        seconds, micros = self.redis.time()
        return repr(seconds + micros / 1e6)

    def _key(self, *parts: object) -> str:
        return self._prefix + ":".join(str(part) for part in parts)


def fingerprint(policy: Policy, bands: Sequence[Band], tiers: Sequence[Tier]) -> str:
    """A digest of all that decides where a job is placed."""
    bounds = [(band.name, band.bound_s) for band in bands]
    return hashlib.sha256(repr((sorted(_rules(policy, bands, tiers).items()), bounds)).encode()).hexdigest()[:16]


def _rules(policy: Policy, bands: Sequence[Band], tiers: Sequence[Tier]) -> dict[str, str]:
    rules = {
        "policy": policy.name,
        "bands": " ".join(band.name for band in bands),
        "tiers": " ".join(f"{tier.below}:{tier.weight}" for tier in tiers if tier.below is not None),
        "top_tier": str(tiers[-1].weight),
        "share": repr(policy.share),
        "age": repr(policy.age),
        "size": repr(policy.size),
        "points_cap": repr(policy.points_cap),
    }
    for band in bands:
        rules |= {f"{band.name}:boost": repr(policy.weights(band).boost), f"{band.name}:points": str(band.weight)}
    return rules


def _slice(band: str, row: Sequence[str]) -> Slice:
    slice_id, site, points, now, fences = row
    pairs = (fence.split(":") for fence in fences.split())
    return Slice(slice_id, int(site), band, int(float(points)), float(now),
                 tuple(Fence(int(job), int(attempt)) for job, attempt in pairs))


def _entry(job: int, packed: str) -> WaitingJob:
    site, user, band, seconds, attempt, enqueued_at, _ = packed.split(" ")
    return WaitingJob(job, int(site), int(user), band, float(seconds), int(attempt), float(enqueued_at))


def _ranked(site: int, score: float, row: Sequence[Any], entry: Any, weights: Sequence[float]) -> Ranked:
    boost, share, age, size, points_cap = weights
    points, tag, waiting, _ = row
    fields = _text(entry).split() if entry else []
    seconds, enqueued_at = (float(fields[3]), float(fields[5])) if fields else (0.0, 0.0)
    return Ranked(
        site=site, score=float(score), waiting=int(waiting), points=int(points or 0),
        boost=boost * min(float(points or 0), points_cap), share=-share * float(tag or 0),
        age=-age * enqueued_at, size=-size * seconds,
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _flat(rows: Iterable[Iterable[Any]]) -> list[Any]:
    return [value for row in rows for value in row]


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


