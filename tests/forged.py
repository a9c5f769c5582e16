"""What a person with access to Redis may write there: forged jobs, and arbitrary values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from redis import Redis

from tests.canary import BOMB, CALLBACK, DATA

LONG_AGO = "2026-01-01T00:00:00.000000Z"
#: RQ's sorted sets, each with an entry for a queue's name.
REGISTRIES = ("wip", "finished", "failed", "deferred", "scheduled", "canceled", "ready")
#: Entries that name nothing.
RUBBISH: tuple[bytes, ...] = (b"", b"\xff\xfe\x00", b"no such thing", b"a:b:c", b"rq:worker:", b"rq:queue:", b"\x1b[2J",
                              b"wake-", b"\x80" * 300)


def job(redis: Redis, id_: str, **fields: Any) -> str:
    """A job with a bomb in each field that may be unpickled and a name in each that may be called; returns its id."""
    redis.hset(f"rq:job:{id_}", mapping={
        "data": DATA, "meta": BOMB, "result": BOMB, "exc_info": BOMB, "status": "started", "origin": "band-1ms",
        "created_at": LONG_AGO, "enqueued_at": LONG_AGO, "timeout": 1, "worker_name": "evil",
        "success_callback_name": CALLBACK, "failure_callback_name": CALLBACK, "stopped_callback_name": CALLBACK,
        "webhooks": json.dumps([{"url": "http://127.0.0.1:9/", "job_status": "failed", "timeout": 1}]), **fields,
    })
    redis.xadd(f"rq:results:{id_}", {"type": 1, "return_value": BOMB, "exc_string": BOMB, "created_at": 1})
    redis.sadd(f"rq:job:{id_}:dependents", "evil-ready")
    return id_


def everywhere(redis: Redis, queues: Sequence[str]) -> None:
    """Forged jobs in each place that RQ's tools read."""
    for name in queues:
        redis.sadd("rq:queues", f"rq:queue:{name}")
        for registry in REGISTRIES:
            status = {"wip": "started", "ready": "ready_to_enqueue"}.get(registry, registry)
            id_ = job(redis, f"evil-{registry}", status=status, origin=name)
            redis.zadd(f"rq:{registry}:{name}", {f"{id_}:run" if registry == "wip" else id_: 1})
        redis.rpush(f"rq:queue:{name}", job(redis, "evil-queued", status="queued", origin=name))
        redis.rpush(f"rq:queue:{name}:intermediate", "evil-queued")
        redis.sadd(f"rq:workers:{name}", "rq:worker:evil")
    redis.sadd("rq:workers", "rq:worker:evil")
    redis.hset("rq:worker:evil", mapping={
        "birth": LONG_AGO, "last_heartbeat": LONG_AGO, "queues": ",".join(queues), "state": "busy", "pid": 1,
        "hostname": "here", "current_job": "evil-queued"})
    redis.sadd("rq:worker:evil:executions", "evil-wip:run")
    redis.hset("rq:execution:evil-wip:run", mapping={"job_id": "evil-wip", "created_at": 1, "last_heartbeat": 1})
    redis.sadd("rq:groups", "evil")
    redis.sadd("rq:group:evil", "evil-queued")
    redis.sadd("rq:rl-keys", "evil")
    redis.hset("rq:rl:evil", "concurrency", 5)
    redis.zadd("rq:rl:evil:allowed", {"evil-wip": 1})
    redis.zadd("rq:rl:evil:rate_limited", {"evil-queued": 1})


def rubbish(redis: Redis, queues: Sequence[str]) -> None:
    """Entries that name nothing, in every set, list and sorted set with a name of its own."""
    for key, kind in fixed_keys(queues):
        for value in RUBBISH:
            put(redis, key, kind, value)
    for value in RUBBISH:
        redis.hset("rq:worker:worse", value or "queues", value)
    redis.hset("rq:worker:worst", mapping={"state": "busy", "pid": "²", "last_heartbeat": "yesterday",
                                           "queues": b"\xff,,\x1b[31m", "successful_job_count": "many"})
    redis.set("rq:worker:no-hash", "x")
    redis.set("rq:worker:worst:executions", "x")
    redis.sadd("rq:workers", *(f"rq:worker:{name}" for name in ("worse", "worst", "no-hash", "gone")))


def fixed_keys(queues: Sequence[str]) -> Iterator[tuple[str, str]]:
    """RQ's and rq-scheduler's keys whose names are known beforehand, with the types that they should have."""
    yield from (("rq:workers", "set"), ("rq:queues", "set"), ("rq:groups", "set"), ("rq:rl-keys", "set"),
                ("rq:scheduler:scheduled_jobs", "zset"))
    for name in queues:
        yield f"rq:queue:{name}", "list"
        yield f"rq:workers:{name}", "set"
        yield from ((f"rq:{registry}:{name}", "zset") for registry in REGISTRIES)


def put(redis: Redis, key: str, kind: str, value: bytes) -> None:
    """Add an entry to a list, a set or a sorted set."""
    if kind == "list":
        redis.rpush(key, value)
    elif kind == "set":
        redis.sadd(key, value)
    else:
        redis.zadd(key, {value: 1})


def another_type(redis: Redis, key: str, kind: str) -> None:
    """Have a key hold what it never should."""
    redis.delete(key)
    if kind == "list":
        redis.sadd(key, "x")
    else:
        redis.set(key, "x")
