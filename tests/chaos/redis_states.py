"""Faults of a Redis that answers: a replica, full, evicting, suspended, paused, unreadable."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

from rq.suspension import resume, suspend

from tests.chaos.servers import RedisServer
from tests.chaos.world import Begun, Trouble, World
from tests.support import eventually

#: How long Redis is in an odd state, in seconds.
ODD_S = (2.0, 8.0)
#: For how long it answers nobody, in seconds.
PAUSED_S = (1.0, 6.0)
#: The share of its data that an evicting Redis has to drop.
EVICTED = (0.2, 0.8)


def _demoted(world: World, rng: random.Random) -> Begun:
    """Redis follows another, which has its data, and comes back; its address leads to it all the time."""
    other = _other(world)
    world.redis.follow(other)
    return Begun("Redis demoted", rng.uniform(*ODD_S), lambda: _promote(world, other))


def _failed_over(world: World, rng: random.Random) -> Begun:
    """The replica takes over, with the address; who was connected still reaches the old master, now a replica."""
    other = _other(world)
    other.follow(None)
    world.redis_proxy.upstream = other.socket
    world.redis.follow(other)
    return Begun("Redis failed over", rng.uniform(*ODD_S), lambda: _promote(world, other))


def _other(world: World) -> RedisServer:
    """A second Redis that has the data of the first."""
    other = RedisServer(world.redis.directory.with_name("redis-other"))
    other.start()
    other.follow(world.redis)
    return other


def _promote(world: World, other: RedisServer) -> None:
    with suppress(AssertionError):  # without what the other knew, as after any fail-over
        eventually(world.redis.is_in_step, 10.0)
    world.redis.follow(None)
    world.redis_proxy.upstream = world.redis.socket
    other.remove()


def _full(world: World, rng: random.Random) -> Begun:
    world.redis.set(maxmemory=max(1, world.redis.memory()["used_memory"] - 1))
    return Begun("Redis full", rng.uniform(*ODD_S), lambda: world.redis.set(maxmemory=0))


def _evicting(world: World, rng: random.Random) -> Begun:
    told = world.redis.memory()
    drop = int(rng.uniform(*EVICTED) * told["used_memory_dataset"])
    world.redis.set(**{"maxmemory-policy": "allkeys-random", "maxmemory": max(1, told["used_memory"] - drop)})

    def end() -> None:
        world.redis.set(**{"maxmemory": 0, "maxmemory-policy": "noeviction"})

    return Begun("Redis evicting", rng.uniform(*ODD_S), end)


def _suspended(world: World, rng: random.Random) -> Begun:
    """As `rq suspend` and `rq resume` do it; sometimes it was for a while only, which passes by itself."""
    lasts_s = rng.uniform(*ODD_S)
    suspend(world.redis.client, rng.choice([None, int(lasts_s) + 1]))  # type: ignore[no-untyped-call]
    return Begun("rq suspend", lasts_s, lambda: resume(world.redis.client))  # type: ignore[no-untyped-call]


def _paused(world: World, rng: random.Random) -> Begun:
    """Nobody gets an answer, us included: it ends by itself."""
    lasts_s = rng.uniform(*PAUSED_S)
    world.redis.client.client_pause(int(lasts_s * 1000), all=True)
    return Begun("CLIENT PAUSE", lasts_s, lambda: eventually(world.redis.answers, 30.0) and None)


def _unreadable(world: World, rng: random.Random) -> Begun:
    """Zeros in the middle of what a killed Redis has written: it is set aside, as `jobsched up` does for its own."""
    world.redis.kill()
    for path in sorted((world.redis.directory / "appendonlydir").glob("*.aof")):
        _zero(path, rng)
    return Begun("Redis's file spoilt", rng.uniform(1.0, 3.0), world.redis.start)


def _zero(path: Path, rng: random.Random) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(int(rng.uniform(0.2, 0.8) * size))
        file.write(bytes(min(512, size)))


def _clock_jumped(world: World, rng: random.Random) -> Begun:
    """Redis's clock is an hour ahead or behind, and then right again."""
    clock, hours = world.redis.clock, rng.choice([-1, 1])
    assert clock, "the run was asked for it"
    clock.put(hours * 3600.0)
    return Begun(f"Redis's clock {'ahead' if hours > 0 else 'behind'} by an hour", rng.uniform(*ODD_S),
                 lambda: clock.put(0.0))


def _without_a_clock(world: World) -> str | None:
    return None if world.redis.clock else "a Redis with a clock of its own, which FAULTS=redis-clock starts"


REDIS_STATES = {
    "redis-demoted": Trouble(1, _demoted),
    "redis-moved": Trouble(1, _failed_over),
    "redis-full": Trouble(1, _full),
    "redis-evicting": Trouble(1, _evicting),
    "redis-paused": Trouble(1, _paused),
    "redis-unreadable": Trouble(1, _unreadable),
    "redis-clock": Trouble(1, _clock_jumped, _without_a_clock),
    "suspend": Trouble(1, _suspended),
}
