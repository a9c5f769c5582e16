"""Reads RQ's registered workers without changing or trusting them: anyone who can write to Redis can forge them.

``rq.Worker.all`` is not used: it drops registrations that it finds stale; it raises the socket timeout of the client to
the length of a blocking pop, where a web page must give up soon; and one bad entry makes it raise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError
from rq import Worker as RqWorker
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE
from rq.utils import utcparse
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from jobsched.base.aside import printable

PREFIX = RqWorker.redis_worker_namespace_prefix
#: Registrations that are looked at; no real host has so many.
MOST = 10_000

_FIELDS = ("state", "queues", "hostname", "ip_address", "pid", "last_heartbeat", "birth", "successful_job_count",
           "failed_job_count")


@dataclass(frozen=True)
class Worker:
    """A registered RQ worker process. ``slice`` is the id of the RQ job that it works on, ``seen_at`` its last sign.

    What its hash in Redis does not say, or not in a form that can be read, is empty, 0 or None.
    """

    name: str
    state: str
    queues: tuple[str, ...]
    host: str
    pid: int | None
    slice: str | None
    seen_at: datetime | None
    address: str = ""
    finished: int = 0
    failed: int = 0


def workers(redis: Redis, queue: str | None = None) -> list[Worker]:
    """The registered workers, of one queue or of all, by the queues they serve, then by name.

    Entries that are no registration of a worker are left out. Raises RedisError when Redis is away.
    """
    keys = registrations(redis, WORKERS_BY_QUEUE_KEY % queue if queue else REDIS_WORKER_KEYS)
    names = [key.removeprefix(PREFIX) for key in keys]
    with redis.pipeline(transaction=False) as pipe:
        for key, name in zip(keys, names, strict=True):
            pipe.hmget(key, _FIELDS)
            pipe.smembers(WORKER_EXECUTIONS_KEY_TEMPLATE.format(name))
        replies = pipe.execute(raise_on_error=False)
    found = (_worker(name, facts, executions)
             for name, facts, executions in zip(names, replies[::2], replies[1::2], strict=True))
    return sorted((worker for worker in found if worker), key=lambda worker: (
        len(worker.queues), worker.queues, worker.name))


def slices_of(redis: Redis, name: str) -> list[str]:
    """The ids of what a worker, by name, has in its hands. Raises RedisError, also where its key holds no set."""
    return _slices(redis.smembers(WORKER_EXECUTIONS_KEY_TEMPLATE.format(name)))


def listening(redis: Redis, queue: str) -> int:
    """How many living workers listen to a queue; a dead one's registration ends soon after it.

    Raises RedisError when Redis is away.
    """
    keys = registrations(redis, WORKERS_BY_QUEUE_KEY % queue)
    return int(redis.exists(*keys)) if keys else 0


def registrations(redis: Redis, key: str) -> list[str]:
    """The entries of a set of registrations that may be those of workers, in order; none when it is no set."""
    try:
        members = redis.smembers(key)
    except ResponseError:
        return []
    return sorted(text for text in map(registration, members) if text)[:MOST]


def registration(member: bytes | str) -> str | None:
    """The key of a worker's hash that an entry of ``rq:workers`` names; None when it can not be one."""
    text = printable(member)
    is_one = text.startswith(PREFIX) and text != PREFIX and member in (text, text.encode())
    return text if is_one else None


def _worker(name: str, facts: Any, executions: Any) -> Worker | None:
    if isinstance(facts, Exception) or not any(fact is not None for fact in facts):
        return None
    text = {field: printable(fact or b"") for field, fact in zip(_FIELDS, facts, strict=True)}
    # What an execution leaves behind when its worker was killed stays for a while: only a busy worker has a job.
    busy = text["state"] == "busy" and not isinstance(executions, Exception)
    slices = _slices(executions) if busy else []
    return Worker(
        name=name,
        state=text["state"] or "starting",
        queues=tuple(queue for queue in text["queues"].split(",") if queue),
        host=text["hostname"],
        pid=_number(text["pid"]),
        slice=slices[0] if slices else None,
        seen_at=_moment(text["last_heartbeat"]),
        address=text["ip_address"],
        finished=_number(text["successful_job_count"]) or 0,
        failed=_number(text["failed_job_count"]) or 0,
    )


def _slices(executions: Iterable[bytes | str]) -> list[str]:
    return sorted(printable(execution).partition(":")[0] for execution in executions)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _moment(text: str) -> datetime | None:
    try:
        return utcparse(text) if text else None
    except ValueError:
        return None
