"""Wakes scheduled jobs that are due: makes them pending in SQL, and places them on the board.

The scheduler has a worker do it at the moment of each job, and every few seconds. It is safe to repeat, and the sweep
does it as well.
"""

from __future__ import annotations

from datetime import datetime

from jobsched.base.failpoints import failpoint
from jobsched.board import Board
from jobsched.ledger import moves
from jobsched.ledger.database import writing
from jobsched.ledger.models import shared_now

#: Jobs that one transaction wakes.
BATCH = 500


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
