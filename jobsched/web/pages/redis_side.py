"""The part of the dashboard that Redis knows: the board, the queues, the workers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from jobsched.base import aside, bugs, redis_errors
from jobsched.base.redis_errors import Sort
from jobsched.board import Board, Lane, Ranked
from jobsched.config import Settings
from jobsched.domain import Bands, BoardBroken, BoardLost
from jobsched.policy import POLICIES, Policy
from jobsched.queues import redis_state
from jobsched.queues.lanes import key_of
from jobsched.queues.registered_workers import Worker, workers

log = logging.getLogger(__name__)

#: How many sites of a lane's order are shown.
SITES_A_LANE = 5

_REDIS_AWAY = "Redis does not answer: jobs are accepted and kept, and go on when it is back."
_BOARD_BROKEN = "The board holds what can not be read: a dispatcher builds it again, from the database."
_BOARD_LOST = "The board has not been set up yet: a dispatcher does it, from the database, when it starts."


@dataclass(frozen=True)
class RedisSide:
    """What Redis knows now; mappings are by band name. ``note`` says what could not be read, and why.

    ``policy`` is the board's, or that of the settings where the board names none that we know. ``queued`` counts the
    slices in RQ's queues. ``others`` are the processes alive by their kind, ``set_aside`` counts what was no good.
    """

    policy: Policy
    lanes: Mapping[str, Lane] = field(default_factory=dict)
    queued: Mapping[str, int] = field(default_factory=dict)
    rankings: Mapping[str, Sequence[Ranked]] = field(default_factory=dict)
    workers: tuple[Worker, ...] | None = ()
    others: Mapping[str, Sequence[str]] | None = None
    set_aside: Mapping[str, int] = field(default_factory=dict)
    note: str | None = None
    #: What somebody should change, though all that is shown is known.
    warnings: tuple[str, ...] = ()


def read(board: Board, redis: Redis, settings: Settings) -> RedisSide:
    """What Redis knows now; when it does not answer, only a note that says so."""
    try:
        found = _read(board, redis, settings)
        board.probe()
    except RedisError as error:
        bugs.log_once(log, "look at Redis for the dashboard", error)
        found = RedisSide(POLICIES[settings.policy], workers=None, note=_trouble(error))
    return replace(found, warnings=_warnings(redis))


def _warnings(redis: Redis) -> tuple[str, ...]:
    """What the operator should see of a Redis that answers, whatever else is known."""
    try:
        state = redis_state.read(redis)
        suspended = [f"The workers are {state.suspension}."] if state.suspension else []
        return (*suspended, *(f"{warning}." for warning in state.warnings))
    except RedisError:
        return ()


def _trouble(error: RedisError) -> str:
    if redis_errors.sort_of(error) is Sort.AWAY:
        return _REDIS_AWAY
    return f"{redis_errors.sentence(error)}. Jobs are accepted and kept, and continue once that is fixed."


def _read(board: Board, redis: Redis, settings: Settings) -> RedisSide:
    from_settings = POLICIES[settings.policy]
    found: Any = {
        "queued": _queued(redis, settings.bands), "workers": tuple(workers(redis)), "set_aside": aside.counts(redis),
        "others": {kind: sorted(board.presence.alive(kind)) for kind in ("dispatcher", "scheduler")},
    }
    try:
        lanes = {lane.band: lane for lane in board.view.lanes()}
        if lanes.keys() != set(settings.bands.names):
            return RedisSide(from_settings, note=_BOARD_BROKEN, **found)
        rankings = {name: board.view.ranking(name, SITES_A_LANE) for name, lane in lanes.items() if lane.sites}
        policy = POLICIES.get(board.rules.read().policy, from_settings)
        return RedisSide(policy, lanes, rankings=rankings, **found)
    except BoardBroken:
        return RedisSide(from_settings, note=_BOARD_BROKEN, **found)
    except BoardLost:
        return RedisSide(from_settings, note=_BOARD_LOST, **found)


def _queued(redis: Redis, bands: Bands) -> dict[str, int]:
    """How many slices wait in the queue of each lane, by band name; a key that is no queue is left out."""
    with redis.pipeline(transaction=False) as pipe:
        for band in bands:
            # Its length and no more: RQ's own counts tidy registries up, and run callbacks, in the process that reads.
            pipe.llen(key_of(band))
        lengths = pipe.execute(raise_on_error=False)
    return {band.name: length for band, length in zip(bands, lengths, strict=True)
            if not isinstance(length, ResponseError)}
