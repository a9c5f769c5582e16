"""The faults of the servers, each by the name under which FAULTS chooses it."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tests.chaos.proxy import Proxy
from tests.chaos.servers import Database, RedisServer
from tests.chaos.stack import Stack

#: How long a database or Redis is away, in seconds.
DATABASE_AWAY_S, REDIS_AWAY_S = (1.0, 10.0), (1.0, 5.0)


@dataclass
class World:
    """What can be broken."""

    stack: Stack
    redis: RedisServer
    redis_proxy: Proxy
    database: Database | None
    database_proxy: Proxy | None


@dataclass(frozen=True)
class Begun:
    """A fault that has happened: its name in the report and, when it lasts, for how long and how it is ended.

    Without a name nothing was broken, since the world has nothing of the kind; the time passes all the same, so that
    the rest is not broken more often to make up for it.
    """

    what: str | None
    lasts_s: float = 0.0
    end: Callable[[], None] | None = None


@dataclass(frozen=True)
class Trouble:
    """One kind of fault. ``weight`` is how often it is drawn, relative to the others.

    ``begin`` returns None when the fault could not be brought about just now. ``lacks`` says in a few words what a
    world would need for it, and returns None for one that has it.
    """

    weight: int
    begin: Callable[[World, random.Random], Begun | None]
    lacks: Callable[[World], str | None] = lambda world: None


def _flush(world: World, rng: random.Random) -> Begun:
    world.redis.client.flushall()
    return Begun("FLUSHALL")


def _redis_killed(world: World, rng: random.Random) -> Begun:
    world.redis.kill()
    return Begun("Redis killed", rng.uniform(*REDIS_AWAY_S), world.redis.start)


def _redis_wiped(world: World, rng: random.Random) -> Begun:
    world.redis.kill()
    world.redis.lose_data()
    return Begun("Redis wiped", rng.uniform(*REDIS_AWAY_S), world.redis.start)


def _redis_away(world: World, rng: random.Random) -> Begun:
    world.redis_proxy.refuse(True)
    return Begun("Redis away", rng.uniform(*REDIS_AWAY_S), lambda: world.redis_proxy.refuse(False))


def _database_away(world: World, rng: random.Random) -> Begun | None:
    lasts_s = rng.uniform(*DATABASE_AWAY_S)
    if world.database is None:
        return Begun(None, lasts_s)
    what = world.database.begin_outage(rng)
    return None if what is None else Begun(what, lasts_s, world.database.end_outage)


def _cut(world: World, rng: random.Random) -> Begun:
    for proxy in (world.redis_proxy, world.database_proxy):
        if proxy:
            proxy.cut()
    return Begun("connections cut")


#: Add a fault here, and FAULTS and the draw know it.
TROUBLES = {
    "flush": Trouble(2, _flush),
    "redis-killed": Trouble(2, _redis_killed),
    "redis-wiped": Trouble(1, _redis_wiped),
    "redis-away": Trouble(2, _redis_away),
    "database-away": Trouble(4, _database_away),
    "cut": Trouble(2, _cut),
}


def lacking(world: World, kinds: Collection[str]) -> dict[str, str]:
    """The faults among ``kinds`` that can not be brought about here, and what each would need."""
    return {name: what for name, trouble in TROUBLES.items() if name in kinds and (what := trouble.lacks(world))}
