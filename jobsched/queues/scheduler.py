"""Wakes for later, by rq-scheduler: once or periodically; a due wake is put into the wake queue.

The scheduler trusts only the name and the time of an entry in Redis; it makes the RQ job itself. rq-scheduler's own
loop fetches the job, so that one entry that it cannot decode would end it for good.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timezone

from redis import Redis
from redis.exceptions import LockError, RedisError, ResponseError
from rq import Queue
from rq_scheduler import Scheduler

from jobsched.base import aside
from jobsched.base.connections import connect
from jobsched.base.identity import process_name
from jobsched.base.loop import run_forever
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.queues import lanes, seal
from jobsched.queues.lanes import PRUNE, WAKE, WAKE_QUEUE, SliceJob

log = logging.getLogger(__name__)

#: How often the scheduler looks for what is due, in seconds.
INTERVAL_S = 1
#: It counts as alive for this long after a look, in seconds.
ALIVE_S = 10.0
#: Wakes that one call asks for.
MOST_WAKES = 50
#: Due entries that one look takes on.
MOST_DUE = 1000
#: How long Redis keeps a wake after its moment when nobody has run it: a worker may die with it in its hands.
WAKE_TTL_S = 3600
#: A scheduler that is killed keeps the others from looking for so long, in seconds.
LOCK_S = INTERVAL_S + 10
#: What is done again and again, and how often, in seconds.
PERIODIC: Mapping[str, int] = {WAKE: 15, PRUNE: 3600}

_FUNCTIONS = {name.replace(".", "-"): name for name in PERIODIC}
_WAKE_ID = re.compile(r"wake-[0-9]{1,12}")


class WakeScheduler(Scheduler):  # type: ignore[misc]
    """rq-scheduler's keys and registration, for our queue, with a look of our own."""

    _begun = False

    def get_queue_for_job(self, job: SliceJob) -> Queue:
        """Ours: rq-scheduler would import any class that a job in Redis names."""
        return lanes.queue(self.connection, WAKE_QUEUE)

    def tick(self) -> float:
        """One look: show ourselves, and unless another scheduler looks now, hand on what is due.

        Returns the seconds to sleep.
        """
        with self.connection.pipeline(transaction=False) as pipe:
            pipe.hset(self.key, "birth", time.time())
            pipe.expire(self.key, LOCK_S)
            pipe.execute()
        Board(self.connection).presence.beat("scheduler", self.name, ALIVE_S)
        self._end_abandoned_lock()
        lock = self.connection.lock(self.scheduler_lock_key, timeout=LOCK_S, blocking=False)
        if lock.acquire():
            try:
                self._look(time.time())
            finally:
                with suppress(LockError):
                    lock.release()
        return INTERVAL_S

    def rest(self) -> None:
        """Say that this scheduler ends on purpose."""
        Board(self.connection).presence.leave("scheduler", self.name)
        self.connection.delete(self.key)

    def _end_abandoned_lock(self) -> None:
        """A lock without an end, or with one that is far away, is nobody's: ours run out."""
        left_ms = self.connection.pttl(self.scheduler_lock_key)
        if left_ms == -1 or left_ms > 1000 * LOCK_S:
            self.connection.delete(self.scheduler_lock_key)
            aside.counted(self.connection, "lock that nobody holds", self.scheduler_lock_key)

    def _look(self, now: float) -> None:
        try:
            self._keep_periodic(now)
            due = self.connection.zrangebyscore(self.scheduled_jobs_key, "-inf", now, start=0, num=MOST_DUE)
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
            aside.move(self.connection, self.scheduled_jobs_key, "not a sorted set")
            return
        for entry in due:
            self._hand_on(entry, now)

    def _keep_periodic(self, now: float) -> None:
        """What is done every so often stands in the schedule, and not further away than that (FLUSHALL, a lie); a
        scheduler that starts does it at once.
        """
        for id_, name in _FUNCTIONS.items():
            at = self.connection.zscore(self.scheduled_jobs_key, id_)
            if at is None or not at <= now + PERIODIC[name] or not self._begun:
                self.connection.zadd(self.scheduled_jobs_key, {id_: now})
        self._begun = True

    def _hand_on(self, entry: bytes, now: float) -> None:
        name = _function(entry)
        if name is None:
            self.connection.zrem(self.scheduled_jobs_key, entry)
            aside.counted(self.connection, "entry in the schedule that is no wake", aside.printable(entry))
            return
        job = SliceJob.create(name, id=entry.decode(), connection=self.connection, timeout=-1, result_ttl=0,
                              ttl=WAKE_TTL_S, description=name)
        self.connection.delete(job.key)
        lanes.queue(self.connection, WAKE_QUEUE).enqueue_job(job)
        if job.id in _FUNCTIONS:
            self.connection.zadd(self.scheduled_jobs_key, {job.id: now + PERIODIC[name]})
        else:
            self.connection.zrem(self.scheduled_jobs_key, job.id)


def main(settings: Settings) -> None:
    """Run rq-scheduler until SIGTERM or SIGINT. Any number of schedulers may run at once."""
    seal.ours()
    ours = wake_scheduler(connect(settings.redis_url))
    run_forever(ours.tick, time.sleep)
    with suppress(RedisError):
        ours.rest()


def wake_scheduler(redis: Redis) -> WakeScheduler:
    """rq-scheduler's handle on ``redis``, for our queue and our job class."""
    return WakeScheduler(queue_name=WAKE_QUEUE, connection=redis, job_class=SliceJob, interval=INTERVAL_S,
                         name=process_name())


def wake_at(redis: Redis, moments: Iterable[datetime]) -> None:
    """Ask for a wake at each moment (aware). Jobs that are due within the same second share one.

    Each costs round trips, so only the MOST_WAKES earliest are asked for; what they leave asleep, a sweep wakes.
    """
    seconds = sorted({math.ceil(moment.timestamp()) for moment in moments})
    ours = wake_scheduler(redis)
    for second in seconds[:MOST_WAKES]:
        wake = ours.enqueue_at(
            datetime.fromtimestamp(second, tz=timezone.utc), WAKE,
            job_id=f"wake-{second}", timeout=-1, job_result_ttl=0, job_description="wake what is due",
        )
        redis.expireat(wake.key, max(second, math.ceil(time.time())) + WAKE_TTL_S)


def _function(entry: bytes) -> str | None:
    """What an entry of the schedule asks for; None when it asks for nothing of ours."""
    id_ = entry.decode(errors="replace")
    return WAKE if _WAKE_ID.fullmatch(id_) else _FUNCTIONS.get(id_)
