"""Schedules work for later with rq-scheduler: wakes scheduled jobs, and calls the periodic sweeps.

Nothing depends on one of its wakes alone: waking is safe to repeat, and the repair sweep wakes what is due as well.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete

from jobsched.base.failpoints import failpoint
from jobsched.board import Board
from jobsched.ledger import moves
from jobsched.ledger.database import writing
from jobsched.ledger.models import IdempotencyKey, shared_now
from jobsched.queues.wakes import wake_at as wake_at

#: Jobs that one transaction wakes.
BATCH = 500
#: How long the first answer to an Idempotency-Key is kept.
KEEP_KEYS = timedelta(days=1)


def wake_due(board: Board, now: datetime | None = None, limit: int = 20 * BATCH) -> int:
    """Make up to ``limit`` jobs that are due pending and place them; returns how many."""
    woken = 0
    while woken < limit:
        with writing() as session:
            due = moves.wake(session, now or shared_now(session), min(BATCH, limit - woken))
        if not due:
            break
        failpoint("wake.woken", effect="sql")
        board.place(due)
        failpoint("wake.placed")
        woken += len(due)
    return woken


def prune(now: datetime | None = None) -> int:
    """Forget answers whose Idempotency-Key is older than KEEP_KEYS; returns how many."""
    with writing() as session:
        old = delete(IdempotencyKey).where(IdempotencyKey.created_at < (now or shared_now(session)) - KEEP_KEYS)
        return int(session.execute(old).rowcount)  # type: ignore[attr-defined]
