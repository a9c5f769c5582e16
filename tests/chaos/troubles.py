"""The faults of the servers, each by the name under which FAULTS selects it."""

from __future__ import annotations

import random
from collections.abc import Collection

from tests.chaos.customers import CUSTOMERS
from tests.chaos.postgres_states import POSTGRES_STATES
from tests.chaos.redis_states import REDIS_STATES
from tests.chaos.world import Begun, Trouble, World

#: How long a database or Redis is away, in seconds.
DATABASE_AWAY_S, REDIS_AWAY_S = (1.0, 10.0), (1.0, 5.0)


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
    **REDIS_STATES,
    **POSTGRES_STATES,
    **CUSTOMERS,
}


def lacking(world: World, kinds: Collection[str]) -> dict[str, str]:
    """The faults among ``kinds`` that can not be brought about here, and what each would need."""
    return {name: what for name, trouble in TROUBLES.items() if name in kinds and (what := trouble.lacks(world))}
