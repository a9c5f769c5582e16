"""Reading the board: how full its lanes are, where sites and jobs stand, how much comes in. Never a scan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobsched.board.rules import SHAPE, Rules
from jobsched.board.scripts import Scripts, batched, text
from jobsched.domain import BoardLost

#: What happened so long ago weighs e times less, in seconds; ``lua/lib.lua`` goes by the same.
LATELY_S = 100.0
#: A lane is not judged by less than this, in seconds.
LEAST_SEEN_S = 10.0


@dataclass(frozen=True)
class LaneCount:
    """How full a lane is, in jobs; ``sites`` may be served now, if it is not ``paused``."""

    band: str
    sites: int
    waiting: int
    flying: int
    paused: bool = False


@dataclass(frozen=True)
class SiteStanding:
    """A site on the board. ``pending`` and ``places`` (1 is next) are by band; a site that does not wait has none.

    ``hold`` says what keeps it out of the lanes: ``paused``, ``max_running`` or ``rate``.
    """

    id: int
    points: int
    tiers: int
    record_capacity: int
    running: int
    place: int | None
    pending: Mapping[str, int]
    places: Mapping[str, int]
    hold: str | None = None


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
class LaneLoad:
    """What a lane has seen lately. Times are measured worker-seconds; None: nothing has ended yet."""

    arrivals_per_s: float
    mean_s: float | None
    mean_square_s2: float | None

    @property
    def load(self) -> float | None:
        """Worker-seconds of work that come in a second: how many workers it keeps busy."""
        return None if self.mean_s is None else self.arrivals_per_s * self.mean_s


@dataclass(frozen=True)
class Flying:
    """A job that was handed to a worker's queue, in a slice of a lane.

    Half of such jobs start within ``half_s`` seconds, nine of ten within ``most_s``; None once the slice has started.
    """

    slice: str
    band: str
    started: bool
    half_s: float | None
    most_s: float | None


@dataclass(frozen=True)
class Aside:
    """A job that a worker has set aside, since it does not know its task."""

    site: int
    band: str


@dataclass(frozen=True)
class Waiting:
    """A job on its line. Places count from 1, the next; ``site_place`` is None for a site that is held.

    ``boost``, ``share``, ``age`` and ``size`` add up to the site's score; ``virtual`` of its share and ``ages`` of its
    age are what a site that begins to wait now has as well. The site is held when it is ``paused``, when as many of its
    jobs are ``running`` as may, or until ``due``, when its rate lets it go (epoch seconds). Workers have ``flying``
    jobs of the lane; ``crew`` is how many of them listen to it, None where no dispatcher has said it. Half of such jobs
    start within ``half_s`` seconds, nine of ten within ``most_s``; None where nothing would start the job as it is.
    """

    site: int
    band: str
    place: int
    length: int
    site_place: int | None
    sites: int
    policy: str
    points: int
    boost: float
    share: float
    age: float
    size: float
    virtual: float
    ages: float
    running: int
    max_running: int | None
    paused: bool
    due: float | None
    lane_paused: bool
    flying: int
    crew: int | None
    half_s: float | None
    most_s: float | None


class Reading(Scripts):
    """The questions that a board answers."""

    def rules(self) -> Rules:
        """What the board scores by now. Raises BoardLost."""
        shape, *fields, built, rescoring, chosen = self.redis.hmget(self._key("rules"), [
            "shape", "epoch", "policy", "bands", "fingerprint", "layout", "built", "rescoring", "chosen"])
        if None in fields or text(shape or "") != SHAPE:
            raise BoardLost("the board has no rules, or another shape: rebuild it from SQL")
        epoch, policy, bands, print_, layout = (text(field) for field in fields)
        return Rules(epoch, policy, tuple(bands.split()), print_, layout, built is not None,
                     None if rescoring is None else text(rescoring), text(chosen) == "1")

    def lanes(self) -> list[LaneCount]:
        """How full each lane is, shortest band first."""
        bands = self.rules().bands
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(self._key("lanes"))
            pipe.hmget(self._key("rules"), [f"paused:{band}" for band in bands])
            for band in bands:
                pipe.zcard(self._key("lane", band))
            counts, paused, *sites = pipe.execute()
        numbers = {text(field): text(value) for field, value in counts.items()}
        return [
            LaneCount(band, n, int(numbers.get(f"waiting:{band}", 0)), int(numbers.get(f"flying:{band}", 0)),
                      pause is not None)
            for band, n, pause in zip(bands, sites, paused, strict=True)
        ]

    def lane_times(self) -> tuple[dict[str, float], set[str]]:
        """Each lane's virtual time in seconds, by band name, and the lanes in which a site waits that may be served."""
        bands = self.rules().bands
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.hmget(self._key("lanes"), [f"v:{band}" for band in bands])
            for band in bands:
                pipe.zcard(self._key("lane", band))
            times, *sites = pipe.execute()
        return ({band: float(time or 0) for band, time in zip(bands, times, strict=True)},
                {band for band, n in zip(bands, sites, strict=True) if n})

    def backlog(self, *, held: bool = False) -> dict[str, float]:
        """The work that waits in each lane, in estimated worker-seconds, by band name; or that of ``held`` sites."""
        bands, what = self.rules().bands, "held_work" if held else "work"
        work = self.redis.hmget(self._key("lanes"), [f"{what}:{band}" for band in bands])
        return {band: float(micros or 0) / 1e6 for band, micros in zip(bands, work, strict=True)}

    def next_due_s(self) -> float | None:
        """The seconds until a rate lets a site go; None: no site is held by its rate."""
        first: Any = self.redis.zrange(self._key("due"), 0, 0, withscores=True)
        return max(0.0, first[0][1] - float(self._clock() or self._time())) if first else None

    def loads(self) -> dict[str, LaneLoad]:
        """What came into each lane and what was done there lately, by band name."""
        bands, now = self.rules().bands, float(self._clock() or self._time())
        with self.redis.pipeline(transaction=False) as pipe:
            for band in bands:
                pipe.hmget(self._key("load", band), ["at", "since", "arrived", "ended", "used", "squares"])
            rows = pipe.execute()
        return {band: _load([float(value or 0) for value in row], now) for band, row in zip(bands, rows, strict=True)}

    def why(self, job: int) -> Waiting | Flying | Aside | None:
        """Where a job stands, what holds it, and when it is expected to start; None when it is not on the board."""
        answer = [text(value) for value in self._run("why", job, self._clock())]
        told = dict(zip(answer[::2], answer[1::2], strict=True))
        if not told:
            return None
        if "aside" in told:
            return Aside(int(told["site"]), told["band"])
        return _flying(told) if "slice" in told else _waiting(told)

    def prospect(self, site: int, band: str, execution_time: float) -> tuple[float, float] | None:
        """When a job of ``execution_time`` seconds would start if it were placed now: half and nine of ten such jobs.

        In seconds from now; None where nothing would start it as things are.
        """
        answer = [float(value) for value in self._run("prospect", site, band, repr(execution_time), self._clock())]
        return (answer[0], answer[1]) if answer else None

    def standing(self, site: int) -> SiteStanding:
        """Where a site stands: its points with their parts, what waits by band, its place in each lane."""
        bands = self.rules().bands
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.hmget(self._key("site", site), ["capacity", "tiers", "running", "held", "paused", "max_running"])
            pipe.zscore(self._key("points"), site)
            pipe.zrevrank(self._key("points"), site)
            for band in bands:
                pipe.zcard(self._key("line", site, band))
                pipe.zrevrank(self._key("lane", band), site)
            (capacity, tiers, running, held, *limits), points, place, *rest = pipe.execute()
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
            hold=None if held is None else _hold(int(running or 0), *(text(limit or "") for limit in limits)),
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
                pipe.hget(self._key("site", text(site)), f"tag:{band}")
                pipe.zcard(self._key("line", text(site), band))
                pipe.zrange(self._key("line", text(site), band), 0, 0)
            rows = list(batched(pipe.execute(), 4))
        heads = [text(row[3][0])[1:] if row[3] else "" for row in rows]  # without the letter of lib.lua's on_line
        entries = self.redis.hmget(self._key("jobs"), heads) if heads else []
        return [
            _ranked(int(site), score, row, entry, weights)
            for (site, score), row, entry in zip(order, rows, entries, strict=True)
        ]


def _load(row: Sequence[float], now: float) -> LaneLoad:
    at, since, arrived, ended, used, squares = row
    fade = math.exp(-max(0.0, now - at) / LATELY_S)
    # The same weights over all the time that was looked at: an even stream gives back its own rate.
    seen = LATELY_S * -math.expm1(-max(now - since, LEAST_SEEN_S) / LATELY_S)
    if ended == 0:
        return LaneLoad(arrived * fade / seen, None, None)
    return LaneLoad(arrived * fade / seen, used / ended, squares / ended)


def _hold(running: int, paused: str, max_running: str) -> str:
    if paused == "1":
        return "paused"
    return "max_running" if max_running and running >= int(max_running) else "rate"


def _flying(told: Mapping[str, str]) -> Flying:
    half, most = (float(told[name]) if name in told else None for name in ("half", "most"))
    return Flying(told["slice"], told["band"], told["started"] == "1", half, most)


def _waiting(told: Mapping[str, str]) -> Waiting:
    def number(name: str) -> float | None:
        return float(told[name]) if told.get(name) else None

    def whole(name: str) -> int | None:
        value = number(name)
        return None if value is None else int(value)

    return Waiting(
        site=int(told["site"]), band=told["band"], place=whole("place") or 0, length=whole("length") or 0,
        site_place=whole("site_place") or None, sites=whole("sites") or 0, policy=told["policy"],
        points=whole("points") or 0, boost=float(told["boost"]), share=float(told["share"]), age=float(told["age"]),
        size=float(told["size"]), virtual=float(told["virtual"]), ages=float(told["ages"]),
        running=whole("running") or 0, max_running=whole("max_running"), paused=told["paused"] == "1",
        due=number("due"), lane_paused=told["lane_paused"] == "1", flying=whole("flying") or 0, crew=whole("crew"),
        half_s=number("half"), most_s=number("most"),
    )


def _ranked(site: int, score: float, row: Sequence[Any], entry: Any, weights: Sequence[float]) -> Ranked:
    boost, share, age, size, points_cap = weights
    points, tag, waiting, _ = row
    fields = text(entry).split() if entry else []
    seconds, enqueued_at = (float(fields[3]), float(fields[5])) if fields else (0.0, 0.0)
    return Ranked(
        site=site, score=float(score), waiting=int(waiting), points=int(points or 0),
        boost=boost * min(float(points or 0), points_cap), share=-share * float(tag or 0),
        age=-age * enqueued_at, size=-size * seconds,
    )
