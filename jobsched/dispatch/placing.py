"""Repairs the places of jobs: those that the board does not know, and those that have changed in SQL."""

from __future__ import annotations

from jobsched.base.failpoints import failpoint
from jobsched.board import Board
from jobsched.dispatch.rebuild import PORTION
from jobsched.ledger import moves
from jobsched.ledger.database import reading


class Placing:
    """Compares pending jobs with the board both ways, a portion at a time."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._last_pending = 0
        self._scan = 0

    def missing(self) -> int:
        """A job is pending, but the board does not know it (Redis was away): place it."""
        with reading() as session:
            jobs = moves.pending(session, self._last_pending, PORTION)
        self._last_pending = jobs[-1].id if len(jobs) == PORTION else 0
        placed = self._board.place(jobs)
        failpoint("repair.missing_placed")
        return placed

    def stale(self) -> int:
        """A job waits on the board, but not in SQL, or not so (changed while Redis was away): drop or move it."""
        self._scan, known = self._board.upkeep.scan_jobs(self._scan, PORTION)
        with reading() as session:
            pending = {job.id: job for job in moves.still_pending(session, known)}
        outcomes = self._board.drop(id_ for id_, job in known.items() if pending.get(id_) != job)
        failpoint("repair.stale_dropped")
        dropped = [id_ for id_, outcome in outcomes.items() if outcome == 1]
        self._board.place(pending[id_] for id_ in dropped if id_ in pending)
        failpoint("repair.changed_placed")
        return len(dropped)
