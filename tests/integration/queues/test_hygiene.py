"""RQ's keys are cleaned: unusable entries are moved away, removed and counted, and valid ones stay."""

from __future__ import annotations

import pytest
from redis import Redis

from jobsched.base import aside
from jobsched.queues import hygiene
from tests import forged

QUEUES = ("wake", "band-1ms", "band-1ms-3f2a9c1b")
GOOD = {
    "rq:workers": {b"rq:worker:web-1-17-9f3c02ab-0"},
    "rq:queues": {b"rq:queue:band-1ms"},
    "rq:workers:band-1ms": {b"rq:worker:web-1-17-9f3c02ab-0"},
}


@pytest.fixture
def in_order(redis: Redis) -> Redis:
    """A Redis that holds what it should."""
    for key, members in GOOD.items():
        redis.sadd(key, *members)
    redis.rpush("rq:queue:band-1ms", "s-1")
    redis.zadd("rq:wip:band-1ms", {"s-1:0f3a": 1})
    redis.zadd("rq:failed:band-1ms", {"s-2": 1})
    redis.set("rq:clean_registries:band-1ms", 1, ex=899)
    return redis


def dump(redis: Redis) -> dict[bytes, bytes | None]:
    return {key: redis.dump(key) for key in redis.keys("*")}


def test_what_is_in_order_is_left_as_it_is(in_order: Redis) -> None:
    before = dump(in_order)

    assert hygiene.mend(in_order, QUEUES) == 0

    assert dump(in_order) == before


@pytest.mark.parametrize(("key", "kind"), list(forged.fixed_keys(QUEUES)))
def test_a_key_of_the_wrong_type_is_moved_away(in_order: Redis, key: str, kind: str) -> None:
    forged.another_type(in_order, key, kind)
    bad = in_order.dump(key)

    assert hygiene.mend(in_order, QUEUES) == 1

    assert not in_order.exists(key)
    assert in_order.dump(f"rq:aside:{key}") == bad
    assert 0 < in_order.ttl(f"rq:aside:{key}") <= aside.KEPT_S
    assert aside.counts(in_order) == {"key of the wrong type": 1}
    assert hygiene.mend(in_order, QUEUES) == 0


@pytest.mark.parametrize("rubbish", forged.RUBBISH)
def test_entries_that_name_nothing_are_removed_and_the_others_stay(in_order: Redis, rubbish: bytes) -> None:
    for key in ("rq:workers", "rq:queues", *(f"rq:workers:{name}" for name in QUEUES)):
        in_order.sadd(key, rubbish)
    for name in QUEUES:
        in_order.zadd(f"rq:wip:{name}", {rubbish: 1})

    hygiene.mend(in_order, QUEUES)

    for key, members in GOOD.items():
        # The beginning of a key may be that of a queue with an empty name, which harms nobody.
        assert in_order.smembers(key) - {b"rq:queue:"} == members
    assert in_order.zrange("rq:wip:band-1ms", 0, -1) == [b"s-1:0f3a"]
    assert not in_order.exists("rq:wip:wake", "rq:workers:wake", "rq:workers:band-1ms-3f2a9c1b")


def test_one_look_removes_a_bounded_number_of_entries(in_order: Redis) -> None:
    in_order.sadd("rq:workers", *(f"no worker {i}" for i in range(hygiene.MOST + 500)))

    assert [hygiene.mend(in_order, QUEUES) for _ in range(3)] == [hygiene.MOST, 500, 0]

    assert in_order.smembers("rq:workers") == GOOD["rq:workers"]
    assert aside.counts(in_order) == {"entry that names nothing": hygiene.MOST + 500}


@pytest.mark.parametrize("end_s", [None, 10**6])
@pytest.mark.parametrize("lock", ["rq:clean_groups", *(f"rq:clean_registries:{name}" for name in QUEUES)])
def test_a_lock_that_nobody_holds_is_broken(in_order: Redis, lock: str, end_s: int | None) -> None:
    in_order.set(lock, 1, ex=end_s)

    assert hygiene.mend(in_order, QUEUES) == 1

    assert not in_order.exists(lock)
    assert aside.counts(in_order) == {"lock that nobody holds": 1}


def test_the_counts_of_what_was_set_aside_are_mended_themselves(in_order: Redis) -> None:
    in_order.set(aside.COUNTS, "x")

    assert hygiene.mend(in_order, QUEUES) == 1

    assert aside.counts(in_order) == {"key of the wrong type": 1}
