"""RQ's workers, read without a trace.

``rq.Worker.all`` is not used here: it drops registrations that it finds stale, and it raises the socket timeout of the
client that it is given to the length of a worker's blocking pop, where a web page must give up soon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from redis import Redis
from rq import Worker as RqWorker
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE
from rq.utils import parse_composite_key, utcparse
from rq.worker_registration import WORKERS_BY_QUEUE_KEY, get_keys


@dataclass(frozen=True)
class Worker:
    """A registered RQ worker process. ``slice`` is the id of the RQ job that it works on, ``seen_at`` its last sign."""

    name: str
    state: str
    queues: tuple[str, ...]
    host: str
    pid: int | None
    slice: str | None
    seen_at: datetime | None


def crew(redis: Redis) -> list[Worker]:
    """The registered workers, by the queues they serve, then by name. Raises RedisError."""
    keys = sorted(get_keys(connection=redis))
    names = [key.removeprefix(RqWorker.redis_worker_namespace_prefix) for key in keys]
    with redis.pipeline(transaction=False) as pipe:
        for key, name in zip(keys, names, strict=True):
            pipe.hgetall(key)
            pipe.smembers(WORKER_EXECUTIONS_KEY_TEMPLATE.format(name))
        replies = pipe.execute()
    found = (
        _worker(name, {key.decode(): value for key, value in facts.items()}, executions)
        for name, facts, executions in zip(names, replies[::2], replies[1::2], strict=True)
        if facts
    )
    return sorted(found, key=lambda worker: (len(worker.queues), worker.queues, worker.name))


def listening(redis: Redis, queue: str) -> int:
    """How many living workers listen to a queue; a dead one's registration ends soon after it. Raises RedisError."""
    keys = redis.smembers(WORKERS_BY_QUEUE_KEY % queue)
    return int(redis.exists(*keys)) if keys else 0


def _worker(name: str, facts: Mapping[str, bytes], executions: set[bytes]) -> Worker:
    def text(field: str) -> str:
        return facts.get(field, b"").decode()

    state = text("state")
    # What an execution leaves behind when its worker was killed stays for a while: only a busy worker has a job.
    slices = [parse_composite_key(key.decode())[0] for key in sorted(executions)] if state == "busy" else []
    return Worker(
        name=name,
        state=state or "starting",
        queues=tuple(queue for queue in text("queues").split(",") if queue),
        host=text("hostname"),
        pid=int(text("pid")) if text("pid").isdigit() else None,
        slice=slices[0] if slices else None,
        seen_at=utcparse(text("last_heartbeat")) if text("last_heartbeat") else None,
    )
