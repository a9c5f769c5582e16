"""The queue and worker classes for ``rq info``: the same figures, from counts alone.

Without them, ``rq info`` cleans every registry before it counts, in the shell of the person who runs it: it fetches
jobs, unpickles their ``meta`` and calls their failure callbacks. So anyone who can write to Redis could run code in
that person's shell. These classes load no job and change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError
from rq import Queue, Worker
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry

from jobsched.base.aside import printable
from jobsched.queues import registered_workers

#: What ``rq info`` needs on its command line.
OPTIONS = ("--queue-class", "jobsched.queues.monitor.MonitorQueue",
           "--worker-class", "jobsched.queues.monitor.MonitorWorker")


def main(url: str, args: Sequence[str]) -> None:
    """``rq info`` on the Redis at ``url`` with our classes; ``args`` are its own options and queues. Exits.

    Raises RedisError when Redis does not answer at the start, of which RQ would print an errno.
    """
    from rq.cli.cli import main as rq

    with Redis.from_url(url) as redis:
        redis.ping()
    rq.main(["info", "--url", url, *args, *OPTIONS], prog_name="jobsched")


@dataclass(frozen=True)
class _Count:
    count: int


class _Untouched:
    """Stands in for the connection where RQ tidies up: there is nothing to tidy, and nothing is sent.

    Only the commands that RQ's clean-up begins with are here, so that another RQ, which would clean otherwise, fails
    instead of doing so.
    """

    def smembers(self, *_: Any) -> set[bytes]:
        return set()

    def zrange(self, *_: Any) -> list[bytes]:
        return []

    def zrangebyscore(self, *_: Any) -> list[bytes]:
        return []

    def zremrangebyscore(self, *_: Any) -> int:
        return 0


class MonitorQueue(Queue):
    """A queue that can be counted, and no more."""

    def __init__(self, name: str = "default", connection: Any = None, **_: Any) -> None:
        super().__init__(name, connection=connection, serializer="json")
        self.redis: Redis = connection
        self.raw_name = name
        self.name = printable(name)
        self.connection = _Untouched()  # type: ignore[assignment]

    @classmethod
    def all(cls, connection: Redis, *_: Any, **__: Any) -> list[Queue]:
        """The registered queues, by name; entries that name none are left out."""
        prefix = cls.redis_queue_namespace_prefix
        try:
            keys = {printable(key) for key in connection.smembers(cls.redis_queues_keys)}
        except ResponseError:
            return []
        return [cls(key.removeprefix(prefix), connection) for key in sorted(keys) if key.startswith(prefix)]

    @property
    def count(self) -> int:
        """How many jobs wait; 0 when the key holds no queue."""
        return _size(self.redis.llen, self._key)

    @property
    def started_job_registry(self) -> Any:
        """How many jobs workers have in hand."""
        return self._entries(StartedJobRegistry)

    @property
    def finished_job_registry(self) -> Any:
        """How many jobs ended well, as far as RQ keeps them."""
        return self._entries(FinishedJobRegistry)

    @property
    def failed_job_registry(self) -> Any:
        """How many jobs failed, as far as RQ keeps them."""
        return self._entries(FailedJobRegistry)

    def _entries(self, registry: Any) -> _Count:
        return _Count(_size(self.redis.zcard, registry.key_template.format(self.raw_name)))


@dataclass(frozen=True)
class Shown:
    """A worker, with what ``rq info`` prints of it."""

    worker: registered_workers.Worker

    @property
    def name(self) -> str:
        return self.worker.name

    @property
    def hostname(self) -> str:
        return self.worker.host

    @property
    def ip_address(self) -> str:
        return self.worker.address

    @property
    def pid(self) -> int | None:
        return self.worker.pid

    @property
    def successful_job_count(self) -> int:
        return self.worker.finished

    @property
    def failed_job_count(self) -> int:
        return self.worker.failed

    def get_state(self) -> str:
        return self.worker.state

    def queue_names(self) -> tuple[str, ...]:
        return self.worker.queues


class MonitorWorker(Worker):
    """The workers that are registered, for showing; none can be made of it."""

    @classmethod
    def all(cls, connection: Redis | None = None, job_class: Any = None, queue_class: Any = None,
            queue: Any = None, serializer: Any = None) -> list[Any]:
        """Those of a MonitorQueue, or all in ``connection``."""
        if queue is not None:
            return [Shown(worker) for worker in registered_workers.workers(queue.redis, queue.raw_name)]
        assert connection is not None
        return [Shown(worker) for worker in registered_workers.workers(connection)]


def _size(ask: Any, key: str) -> int:
    try:
        return int(ask(key))
    except ResponseError:
        return 0
