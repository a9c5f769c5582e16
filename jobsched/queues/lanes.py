"""A lane's RQ queue: what may be enqueued there, and how many slices it should hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from rq import Queue
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from jobsched.board import Code
from jobsched.board.parse import text
from jobsched.domain import Band, Slice
from jobsched.queues.jobs import PRUNE, RUN_SLICE, WAKE, WAKE_QUEUE, LaneQueue, NotAdmitted, SliceJob, queue

__all__ = [
    "PRUNE",
    "RUN_SLICE",
    "WAKE",
    "WAKE_QUEUE",
    "LaneQueue",
    "NotAdmitted",
    "Room",
    "SliceJob",
    "enqueue",
    "forget_side_queues",
    "forget_unstarted",
    "key_of",
    "queue",
    "room",
    "side_queue",
    "side_queues",
    "side_room",
    "waits_in_queue",
    "window",
]

#: Work that waits in an RQ queue can not be overtaken any more: keep about this much for each worker of the lane.
WINDOW_S = 0.15
#: How long RQ keeps a slice whose worker died, for ``rq info`` to show.
FAILURE_TTL_S = 86_400


@dataclass(frozen=True)
class Room:
    """A lane's RQ queue: how many more ``slices`` it should get, and how many ``workers`` listen to it."""

    slices: int
    workers: int


def room(redis: Redis, bands: Sequence[Band], slice_budget_s: float) -> dict[str, Room]:
    """How much room each lane's RQ queue has, by band name."""
    with redis.pipeline(transaction=False) as pipe:
        for band in bands:
            pipe.llen(key_of(band))
            pipe.scard(WORKERS_BY_QUEUE_KEY % band.queue)
        numbers = pipe.execute()
    return {
        band.name: Room(max(0, window(band, workers, slice_budget_s) - queued), workers)
        for band, queued, workers in zip(bands, numbers[::2], numbers[1::2], strict=True)
    }


def key_of(band: Band) -> str:
    """The Redis key of a lane's RQ queue, a list."""
    return Queue.redis_queue_namespace_prefix + band.queue


def window(band: Band, workers: int, slice_budget_s: float) -> int:
    """How many slices a lane's RQ queue may hold: what keeps its workers busy while the dispatcher looks away."""
    slice_s = max(band.bound_s, slice_budget_s)
    return max(1, math.ceil(workers * WINDOW_S / slice_s))


def side_queue(band: Band, code: str) -> str:
    """The name of the RQ queue of a lane to which only workers with that version of the tasks' code listen."""
    return f"{band.queue}-{code}"


def side_queues(bands: Sequence[Band], codes: Mapping[str, Iterable[Code]]) -> set[str]:
    """The names of the side queues to which the living ``codes`` of their lane listen."""
    return {side_queue(band, code.id) for band in bands for code in codes.get(band.name, ())}


def side_room(redis: Redis, band: Band, code: Code, slice_budget_s: float) -> int:
    """How many more slices belong in the side queue of a lane's workers with that code."""
    queued = redis.llen(Queue.redis_queue_namespace_prefix + side_queue(band, code.id))
    return max(0, window(band, code.workers, slice_budget_s) - int(queued))


def enqueue(redis: Redis, band: Band, slices: Iterable[Slice], code: str | None = None) -> None:
    """Hand slices to a lane's workers, or to those of them with some ``code``, in one round trip."""
    lane = queue(redis, band.queue if code is None else side_queue(band, code))
    envelopes = [_envelope(slice_) for slice_ in slices]
    with redis.pipeline(transaction=False) as pipe:
        for envelope in envelopes:  # whatever somebody has put there before
            pipe.unlink(SliceJob.key_for(envelope.job_id))
        lane.enqueue_many(envelopes, pipeline=pipe)
        pipe.execute()


def waits_in_queue(redis: Redis, band: Band, slice_id: str, codes: Iterable[str] = ()) -> bool:
    """Whether no worker has popped a slice yet, where it may be in the queues of ``codes`` as well. O(window)."""
    queues = (band.queue, *(side_queue(band, code) for code in codes))
    return any(redis.lpos(Queue.redis_queue_namespace_prefix + name, slice_id) is not None for name in queues)


def forget_side_queues(redis: Redis, bands: Sequence[Band], codes: Mapping[str, Iterable[Code]]) -> None:
    """Forget the side queues to which none of the living ``codes`` of their lane listens: their slices come back."""
    prefix = Queue.redis_queue_namespace_prefix
    listened = side_queues(bands, codes)
    ours = tuple(side_queue(band, "") for band in bands)
    for key in redis.smembers(Queue.redis_queues_keys):
        name = text(key).removeprefix(prefix)
        if name.startswith(ours) and name not in listened:
            redis.srem(Queue.redis_queues_keys, key)
            redis.unlink(prefix + name)


def forget_unstarted(redis: Redis, slice_id: str) -> None:
    """Delete RQ's record of a slice whose worker died between its pop and its start: RQ would keep it for ever."""
    key = SliceJob.key_for(slice_id)
    if redis.hget(key, "status") == b"queued":
        redis.unlink(key)


def _envelope(slice_: Slice) -> Any:
    fences = [[fence.job, fence.attempt] for fence in slice_.jobs]
    return Queue.prepare_data(
        RUN_SLICE,
        args=[slice_.id, slice_.site, slice_.band, slice_.points, slice_.dispatched_at, fences],
        job_id=slice_.id,
        description=f"{len(fences)} of site {slice_.site}",
        timeout=-1,  # each job of the slice has a limit of its own
        result_ttl=0,
        failure_ttl=FAILURE_TTL_S,
    )


