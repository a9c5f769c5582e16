"""The only RQ jobs that jobsched runs: JSON, sealed, and naming one of three functions of its own."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from rq import Queue
from rq.exceptions import DequeueTimeout, NoSuchJobError, StopRequested
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer
from rq.timeouts import UnixSignalDeathPenalty

from jobsched.base import aside, redis_errors
from jobsched.board import Board
from jobsched.domain import JobschedError
from jobsched.queues import hygiene, seal

#: The queue of what wakes scheduled jobs; every worker listens to it first.
WAKE_QUEUE = "wake"

RUN_SLICE = "jobsched.runner.run_slice"
WAKE = "jobsched.runner.wake"
PRUNE = "jobsched.runner.tidy"

#: A slice's data is smaller than this by far, in bytes.
MOST_DATA = 65_536
#: The fields of RQ's record of a job that are read. The others may name functions, other jobs, retries, repetitions,
#: limits of a rate; none of that is used here.
_FIELDS = ("created_at", "origin", "description", "enqueued_at", "started_at", "ended_at", "last_heartbeat",
           "worker_name", "result_ttl", "failure_ttl", "status", "ttl")


class NotAdmitted(JobschedError):
    """A job in our queues that we have not put there, or that names a function other than ours."""


class SliceJob(RQJob):
    """An RQ job that carries JSON and our seal, and names only what jobsched's workers do.

    Whoever can write to Redis can enqueue; with RQ's pickles, and with any dotted path, that is to run code. The
    callbacks and webhooks of RQ are names from Redis as well, and stay unused.
    """

    success_callback = None
    failure_callback = None
    stopped_callback = None

    def __init__(self, id: str | None = None, connection: Redis | None = None, serializer: Any = None) -> None:
        super().__init__(id, connection, JSONSerializer)
        #: What Redis holds as our seal; None: this job was made here.
        self._found_seal: bytes | None = None

    @property
    def func(self) -> Any:
        self.admit()
        return super().func

    def admit(self) -> None:
        """Raises NotAdmitted unless we have made this job, for one of our functions, under this id."""
        if self._found_seal is not None and not seal.ours().is_on(self.id, self.data, self._found_seal):
            raise NotAdmitted("it does not bear our seal")
        if self.instance is not None or self.func_name not in (RUN_SLICE, WAKE, PRUNE):
            raise NotAdmitted(f"{self.func_name} is not for jobsched's workers to run")

    def to_dict(self, include_meta: bool = True, include_result: bool = True) -> dict[str, Any]:
        """Besides, the seal. That of a job which came from Redis stays as it is, good or not."""
        fields: dict[str, Any] = super().to_dict(include_meta, include_result)
        found = self._found_seal
        return {**fields, "seal": seal.ours().of(self.id, self.data) if found is None else found}

    def restore(self, raw_data: Any) -> None:
        """Take over what Redis holds of us, and nothing else. Raises NotAdmitted, NoSuchJobError, ValueError."""
        facts = {name: raw_data[name.encode()] for name in _FIELDS if name.encode() in raw_data}
        if b"data" in raw_data:
            facts["data"] = zlib.compress(_unpacked(raw_data[b"data"]))
        super().restore(facts)
        self.timeout = -1  # each job of a slice has a limit of its own
        self._found_seal = raw_data.get(b"seal", b"")

    def send_webhooks(self, *_args: Any, **_kwargs: Any) -> None:
        pass


class LaneQueue(Queue):
    """A queue of SliceJobs. What is popped and is not ours is set aside and counted, and the next one popped."""

    def __init__(self, name: str = "default", connection: Redis | None = None, **_: Any) -> None:
        super().__init__(name, connection=connection, job_class=SliceJob, serializer=JSONSerializer,
                         death_penalty_class=UnixSignalDeathPenalty)

    @classmethod
    def lpop(cls, queue_keys: Sequence[str], timeout: int | None, connection: Redis | None = None) -> Any:
        """As RQ's; where a queue's key holds no list, it is moved away. Ids that are no text are made such."""
        assert connection is not None
        try:
            found = super().lpop(queue_keys, timeout, connection)
        except ResponseError as error:
            names = [key.removeprefix(cls.redis_queue_namespace_prefix) for key in queue_keys]
            if "WRONGTYPE" not in str(error) or not hygiene.mend(connection, names):
                raise
            raise DequeueTimeout(timeout, queue_keys) from error
        return found and (found[0], aside.printable(found[1]))

    @classmethod
    def lmove(cls, connection: Redis, queue_key: str, timeout: int | None) -> Any:
        """No intermediate queue: a slice whose worker dies right after the pop comes back by its lease."""
        return cls.lpop([queue_key], timeout, connection)

    @classmethod
    def _fetch_dequeued_job(cls, connection: Redis, queue_key: str, job_id: str, *_: Any, **__: Any) -> Any:
        job = _admitted(connection, job_id)
        return job and (job, cls(queue_key.removeprefix(cls.redis_queue_namespace_prefix), connection))


def queue(redis: Redis, name: str) -> LaneQueue:
    """The RQ queue of that name, for slices."""
    return LaneQueue(name, redis)


def _admitted(redis: Redis, id_: str) -> SliceJob | None:
    """The job of that id, if it is one of ours; one that is not is deleted."""
    try:
        job = SliceJob.fetch(id_, connection=redis)
        assert isinstance(job, SliceJob)
        job.admit()
    except NoSuchJobError:  # ended already; a reply that was lost puts a slice into its queue twice
        return None
    except StopRequested:  # a signal came meanwhile
        raise
    except Exception as error:
        if redis_errors.is_trouble(error):
            raise
        _refuse(redis, id_, error)
        return None
    return job


def _refuse(redis: Redis, id_: str, error: Exception) -> None:
    redis.unlink(SliceJob.key_for(id_))
    try:
        known = isinstance(error, NotAdmitted) and Board(redis).holds(id_)
    except RedisError:
        known = False
    if known:
        aside.counted(redis, "slice with another seal", f"{id_}: the board knows it, but it does not bear our seal: "
                      f"{seal.SAME_EVERYWHERE}")
    else:
        aside.counted(redis, "job that is not ours", f"{id_}: {type(error).__name__}: {aside.printable(str(error))}")


def _unpacked(data: bytes) -> bytes:
    """A job's data, compressed or not. Raises NotAdmitted when it is too long."""
    with suppress(zlib.error):  # it was not compressed
        data = zlib.decompressobj().decompress(data, MOST_DATA + 1)
    if len(data) > MOST_DATA:
        raise NotAdmitted(f"its data is longer than {MOST_DATA} bytes")
    return data
