"""Work for later, by rq-scheduler: it wakes scheduled jobs, and calls the periodic sweeps.

Nothing depends on one of its wakes alone: waking is safe to repeat, and the repair sweep wakes what is due as well.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from redis import Redis
from rq import Queue
from rq_scheduler import Scheduler
from sqlalchemy import delete

from jobsched import lanes, ledger
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.connections import connect
from jobsched.database import writing
from jobsched.failpoints import failpoint
from jobsched.lanes import TIDY, WAKE, WAKE_QUEUE, SliceJob
from jobsched.models import IdempotencyKey, utcnow

log = logging.getLogger(__name__)

#: How often rq-scheduler looks for what is due, in seconds.
INTERVAL_S = 1
#: Wakes that one call asks for.
MOST_WAKES = 50
#: Jobs that one transaction wakes.
BATCH = 500
#: How long Redis keeps a wake after its moment when nobody has run it: a worker may die with it in its hands.
WAKE_TTL_S = 3600
#: How long the first answer to an Idempotency-Key is kept.
KEEP_KEYS = timedelta(days=1)


class WakeScheduler(Scheduler):  # type: ignore[misc]
    """rq-scheduler, which would import any class that a job in Redis names as that of its queue."""

    def get_queue_for_job(self, job: SliceJob) -> Queue:
        return lanes.queue(self.connection, WAKE_QUEUE)


def scheduler(redis: Redis) -> WakeScheduler:
    """rq-scheduler's handle on ``redis``, for our queue and our job class."""
    return WakeScheduler(queue_name=WAKE_QUEUE, connection=redis, job_class=SliceJob, interval=INTERVAL_S)


def wake_at(redis: Redis, moments: Iterable[datetime]) -> None:
    """Ask for a wake at each moment (aware). Jobs that are due within the same second share one.

    Each costs round trips, so only the MOST_WAKES earliest are asked for; what they leave asleep, a sweep wakes.
    """
    seconds = sorted({math.ceil(moment.timestamp()) for moment in moments})
    ours = scheduler(redis)
    for second in seconds[:MOST_WAKES]:
        wake = ours.enqueue_at(
            datetime.fromtimestamp(second, tz=timezone.utc), WAKE,
            job_id=f"wake-{second}", timeout=-1, job_result_ttl=0, job_description="wake what is due",
        )
        redis.expireat(wake.key, max(second, math.ceil(utcnow().timestamp())) + WAKE_TTL_S)


def wake_due(board: Board, now: datetime | None = None, limit: int = 20 * BATCH) -> int:
    """Make up to ``limit`` jobs that are due pending and place them; returns how many."""
    woken = 0
    while woken < limit:
        with writing() as session:
            due = ledger.wake(session, now or utcnow(), min(BATCH, limit - woken))
        if not due:
            break
        failpoint("wake.woken", effect="sql")
        board.place(due)
        failpoint("wake.placed")
        woken += len(due)
    return woken


def tidy(now: datetime | None = None) -> int:
    """Forget answers whose Idempotency-Key is older than KEEP_KEYS; returns how many."""
    with writing() as session:
        old = delete(IdempotencyKey).where(IdempotencyKey.created_at < (now or utcnow()) - KEEP_KEYS)
        return int(session.execute(old).rowcount)  # type: ignore[attr-defined]


def main(settings: Settings) -> None:
    """Run rq-scheduler until SIGTERM or SIGINT."""
    ours = scheduler(connect(settings.redis_url))
    for name, every_s in ((WAKE, 15), (TIDY, 3600)):
        ours.schedule(
            utcnow(), name, interval=every_s, id=name.replace(".", "-"), timeout=-1, result_ttl=2 * every_s
        )
    ours.run()
