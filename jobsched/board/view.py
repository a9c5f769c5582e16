"""Reads the board without a scan: how full its lanes are, where sites and jobs stand, how much arrives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jobsched.board.answers import Aside, Flying, Lane, LaneLoad, Ranked, SiteStanding, Waiting
from jobsched.board.parse import identity, is_id, number, text, whole
from jobsched.board.rulebook import Rulebook
from jobsched.board.store import Part, Store, readable, redis_s

#: What happened so long ago weighs e times less, in seconds; ``lua/prelude/load.lua`` goes by the same.
LATELY_S = 100.0
#: A lane is not judged by less than this, in seconds.
LEAST_SEEN_S = 10.0


class View(Part):
    """What may be asked of a board; nothing here changes it."""

    def __init__(self, store: Store, rules: Rulebook) -> None:
        super().__init__(store)
        self._rules = rules

    @readable
    def lanes(self) -> list[Lane]:
        """All of each lane, shortest band first, in two round trips."""
        bands = self._rules.read().bands
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(self._key("lanes"))
            pipe.hmget(self._key("rules"), [f"paused:{band}" for band in bands])
            for band in bands:
                pipe.zcard(self._key("lane", band))
                pipe.hmget(self._key("load", band), ["at", "since", "arrived", "ended", "used", "squares"])
            time, counts, paused, *rest = pipe.execute()
        now = redis_s(time) if self._store.now is None else self._store.now
        numbers = {text(field): value for field, value in counts.items()}
        return [
            _lane(band, numbers, sites=sites, paused=pause is not None, load=_load(load, now))
            for band, pause, sites, load in zip(bands, paused, rest[::2], rest[1::2], strict=True)
        ]

    @readable
    def next_due_s(self) -> float | None:
        """The seconds until a rate lets a site go; None: no site is held by its rate."""
        first: Any = self._redis.zrange(self._key("due"), 0, 0, withscores=True)
        return max(0.0, number(first[0][1]) - self._store.now_s()) if first else None

    @readable
    def why(self, job: int) -> Waiting | Flying | Aside | None:
        """Where a job stands, what holds it, and when it is expected to start; None when it is not on the board."""
        told = self._told(job)
        if not told:
            return None
        if "aside" in told:
            return Aside(identity(told["site"]), told["band"])
        return _flying(told) if "slice" in told else _waiting(told)

    @readable
    def prospect(self, site: int, band: str, execution_time: float) -> tuple[float, float] | None:
        """When a job of ``execution_time`` seconds would start if it were placed now: half and nine of ten such jobs.

        In seconds from now; None where nothing would start it as things are.
        """
        told = self._told("", site, band, repr(execution_time))
        return (number(told["half"]), number(told["most"])) if told else None

    @readable
    def standing(self, site: int) -> SiteStanding:
        """Where a site stands: its points with their parts, what waits by band, its place in each lane."""
        bands = self._rules.read().bands
        with self._redis.pipeline(transaction=True) as pipe:
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
            points=whole(points if points is not None else capacity, 1),
            tiers=whole(tiers),
            record_capacity=whole(capacity, 1),
            running=whole(running),
            place=None if place is None else place + 1,
            pending={band: n for band, n in zip(bands, lengths, strict=True) if n},
            places={band: rank + 1 for band, rank in zip(bands, ranks, strict=True) if rank is not None},
            hold=None if held is None else _hold(whole(running), *(text(limit or "") for limit in limits)),
        )

    @readable
    def ranking(self, band: str, limit: int) -> list[Ranked]:
        """The first ``limit`` sites of a lane in the order they go, each with the parts of its score."""
        rows = ([text(value) for value in row] for row in self._store.run("ranking", band, limit))
        return [_ranked(row) for row in rows if is_id(row[0])]

    def _told(self, *whom: object) -> dict[str, str]:
        answer = [text(value) for value in self._store.run("why", self._store.clock(), *whom)]
        return dict(zip(answer[::2], answer[1::2], strict=True))


def _lane(band: str, numbers: Mapping[str, Any], *, sites: int, paused: bool, load: LaneLoad) -> Lane:
    def of(what: str) -> Any:
        return numbers.get(f"{what}:{band}")

    return Lane(band, sites, whole(of("waiting")), whole(of("flying")), paused, virtual_s=number(of("v")),
                backlog_s=number(of("work")) / 1e6, held_s=number(of("held_work")) / 1e6, load=load)


def _load(row: Sequence[Any], now: float) -> LaneLoad:
    at, since, arrived, ended, used, squares = (number(value) for value in row)
    fade = math.exp(-max(0.0, now - at) / LATELY_S)
    # The same weights over all the time that was looked at: an even stream gives back its own rate.
    seen = LATELY_S * -math.expm1(-max(now - since, LEAST_SEEN_S) / LATELY_S)
    if ended == 0:
        return LaneLoad(arrived * fade / seen, None, None)
    return LaneLoad(arrived * fade / seen, used / ended, squares / ended)


def _hold(running: int, paused: str, max_running: str) -> str:
    if paused == "1":
        return "paused"
    return "max_running" if max_running and running >= whole(max_running) else "rate"


def _flying(told: Mapping[str, str]) -> Flying:
    half, most = (number(told[name]) if name in told else None for name in ("half", "most"))
    return Flying(told["slice"], told["band"], told["started"] == "1", half, most)


def _waiting(told: Mapping[str, str]) -> Waiting:
    def some(name: str) -> float | None:
        return number(told[name]) if told.get(name) else None

    def count(name: str) -> int | None:
        value = some(name)
        return None if value is None else int(value)

    return Waiting(
        site=identity(told["site"]), band=told["band"], place=count("place") or 0, length=count("length") or 0,
        site_place=count("site_place") or None, sites=count("sites") or 0, policy=told["policy"],
        points=count("points") or 0, boost=number(told["boost"]), share=number(told["share"]), age=number(told["age"]),
        size=number(told["size"]), virtual=number(told["virtual"]), ages=number(told["ages"]),
        running=count("running") or 0, max_running=count("max_running"), paused=told["paused"] == "1",
        due=some("due"), lane_paused=told["lane_paused"] == "1", flying=count("flying") or 0, crew=count("crew"),
        half_s=some("half"), most_s=some("most"),
    )


def _ranked(row: Sequence[str]) -> Ranked:
    site, score, waiting, points, *terms = row
    boost, share, age, size = map(number, terms)
    return Ranked(site=identity(site), score=number(score), waiting=int(waiting), points=whole(points),
                  boost=boost, share=share, age=age, size=size)
