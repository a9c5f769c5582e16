"""Checks RQ's own keys: their types, and that each entry can be an entry of its key.

A single string where RQ expects a list would end every worker of a lane, again and again; a set of workers of another
type would stop the dispatcher. What is wrong is moved away or removed, and counted. None of it is needed, because the
board and SQL have all waiting jobs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from redis import Redis
from rq import Queue
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY
from rq_scheduler import Scheduler

from jobsched.base import aside
from jobsched.queues.registered_workers import registration

#: RQ's sorted sets of a queue, by the beginning of their keys.
REGISTRIES = ("wip", "finished", "failed", "deferred", "scheduled", "canceled", "ready")
#: Entries that one look removes from one key.
MOST = 1000
#: How long RQ's locks last at most, in seconds.
LOCK_S = 900

_EXECUTION = re.compile(rb"[A-Za-z0-9_-]{1,200}:[A-Za-z0-9_-]{1,200}")


def mend(redis: Redis, queues: Sequence[str]) -> int:
    """Put in order what RQ keeps of ``queues``; returns how much was wrong. Raises RedisError when Redis is away."""
    return _types(redis, queues) + _members(redis, queues) + _locks(redis, queues)


def _types(redis: Redis, queues: Sequence[str]) -> int:
    expected = dict(_keys(queues))
    with redis.pipeline(transaction=False) as pipe:
        for key in expected:
            pipe.type(key)
        found = dict(zip(expected, pipe.execute(), strict=True))
    wrong = [key for key, type_ in found.items() if type_ not in (b"none", expected[key].encode())]
    for key in wrong:
        aside.move(redis, key, f"is a {aside.printable(found[key])}, not a {expected[key]}")
    return len(wrong)


def _keys(queues: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield REDIS_WORKER_KEYS, "set"
    yield Queue.redis_queues_keys, "set"
    yield "rq:groups", "set"
    yield "rq:rl-keys", "set"
    yield Scheduler.scheduled_jobs_key, "zset"
    yield aside.COUNTS, "hash"
    for name in queues:
        yield Queue.redis_queue_namespace_prefix + name, "list"
        yield WORKERS_BY_QUEUE_KEY % name, "set"
        yield from ((f"rq:{registry}:{name}", "zset") for registry in REGISTRIES)


def _members(redis: Redis, queues: Sequence[str]) -> int:
    sets = [REDIS_WORKER_KEYS, Queue.redis_queues_keys, *(WORKERS_BY_QUEUE_KEY % name for name in queues)]
    in_hand = [f"rq:wip:{name}" for name in queues]
    with redis.pipeline(transaction=False) as pipe:
        for key in sets:
            pipe.smembers(key)
        for key in in_hand:
            pipe.zrange(key, 0, MOST - 1)
        found = pipe.execute()
    wrong = _drop(redis.srem, redis, sets[1], found[1], _is_queue)
    for key, entries in zip((sets[0], *sets[2:]), (found[0], *found[2:len(sets)]), strict=True):
        wrong += _drop(redis.srem, redis, key, entries, registration)
    for key, entries in zip(in_hand, found[len(sets):], strict=True):
        wrong += _drop(redis.zrem, redis, key, entries, _EXECUTION.fullmatch)
    return wrong


def _is_queue(entry: bytes) -> bool:
    return entry.startswith(Queue.redis_queue_namespace_prefix.encode()) and aside.printable(entry).encode() == entry


def _drop(remove: Callable[..., int], redis: Redis, key: str, entries: Sequence[bytes] | set[bytes],
          is_good: Callable[[bytes], object]) -> int:
    bad = [entry for entry in entries if not is_good(entry)][:MOST]
    for entry in bad:
        remove(key, entry)
        aside.counted(redis, "entry that names nothing", f"{key}: {aside.printable(entry)[:200]}")
    return len(bad)


def _locks(redis: Redis, queues: Sequence[str]) -> int:
    """RQ's locks run out; one that does not is nobody's."""
    keys = ["rq:clean_groups", *(f"rq:clean_registries:{name}" for name in queues)]
    with redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.ttl(key)
        stuck = [key for key, left_s in zip(keys, pipe.execute(), strict=True) if left_s == -1 or left_s > LOCK_S]
    for key in stuck:
        redis.delete(key)
        aside.counted(redis, "lock that nobody holds", key)
    return len(stuck)
