"""Repairs what a dead worker leaves behind: slices whose lease has expired, and running jobs that no slice carries."""

from __future__ import annotations

from datetime import timedelta

from redis import Redis

from jobsched.base.failpoints import failpoint
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.dispatch.rebuild import PORTION
from jobsched.ledger import moves
from jobsched.ledger.database import reading, writing
from jobsched.ledger.models import utcnow
from jobsched.queues import lanes

SILENT = "the worker fell silent"


class Leases:
    """Gives back the jobs of workers that fell silent."""

    def __init__(self, settings: Settings, board: Board, redis: Redis) -> None:
        self._settings, self._board, self._redis = settings, board, redis

    def expired(self) -> int:
        """A slice fell silent: end it, give its running jobs back, and place what is pending again."""
        mended = 0
        self._board.codes.prune()
        codes = self._board.codes.by_band()
        lanes.forget_side_queues(self._redis, self._settings.bands, codes)
        for slice_id, (name, jobs) in self._board.upkeep.expired(PORTION).items():
            there = [code.id for code in codes.get(name, [])]
            band = self._settings.bands.named(name)
            if band and lanes.waits_in_queue(self._redis, band, slice_id, there):
                self._board.renew(slice_id, self._settings.lease_s, started=False)
                failpoint("repair.queued_lease_renewed")
                continue
            with writing() as session:
                moves.give_back(session, moves.running_in(session, slice_id, jobs), SILENT)
                waiting = moves.still_pending(session, jobs)
            failpoint("repair.lease_given_back", effect="sql")
            self._board.settle(slice_id, None)
            failpoint("repair.lease_settled")
            self._board.place(waiting)
            failpoint("repair.lease_placed")
            lanes.forget_unstarted(self._redis, slice_id)
            failpoint("repair.lease_forgotten")
            mended += 1
        return mended

    def orphaned(self) -> int:
        """A job runs, says SQL, but no slice in flight carries it: give it back.

        A board that has just been made is given a lease's time, in which living workers put their slices back. Workers
        of an older version never put theirs on our board: they are left to end them.
        """
        if self._board.rules.age_s() < self._settings.lease_s or self._board.older.alive("worker"):
            return 0
        patience = timedelta(seconds=self._settings.lease_s)
        with reading() as session:
            fences = moves.running(session, utcnow() - patience, PORTION)
        carried = {job for _, jobs in self._board.upkeep.flying().values() for job in jobs}
        orphans = [fence for fence in fences if fence.job not in carried]
        if not orphans:  # SQLite's only writer is not to be kept from writing for nothing
            return 0
        with writing() as session:
            back, spent = moves.give_back(session, orphans, SILENT)
            waiting = moves.still_pending(session, [fence.job for fence in orphans])
        failpoint("repair.orphans_given_back", effect="sql")
        self._board.place(waiting)
        failpoint("repair.orphans_placed")
        return back + spent
