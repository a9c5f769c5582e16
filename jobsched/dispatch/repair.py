"""The sweep: one repair for each way in which SQL and the board can differ, in the order in which they run.

Each repair is idempotent, does a bounded amount of work, and returns how many things it mended. SQL is right; the
repairs bring the board in line with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from redis import Redis

from jobsched.base.connections import connect
from jobsched.base.failpoints import failpoint
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.dispatch.facts import Facts
from jobsched.dispatch.leases import Leases
from jobsched.dispatch.placing import Placing
from jobsched.dispatch.rebuild import Builder
from jobsched.dispatch.strays import Strays
from jobsched.domain import BoardLost, JobschedError
from jobsched.intake import controls
from jobsched.ledger.database import ledger_app, refuse_unfit
from jobsched.ledger.models import db
from jobsched.queues import due, hygiene, lanes

log = logging.getLogger(__name__)

#: A sweeper that is killed keeps the others from sweeping for so long, in seconds. A sweep that takes longer is joined
#: by another, which costs work and does no harm.
LOCK_S = 3.0
#: How long ``jobsched repair`` waits for its turn while others sweep, in seconds.
TURN_S = 60.0


class NotOurTurn(JobschedError):
    """Others have swept for so long that nothing was done."""


class Sweeper:
    """Runs the repairs, which remember where each of them goes on. Needs an application context of the ledger."""

    def __init__(self, settings: Settings, board: Board, redis: Redis) -> None:
        self._settings = settings
        self._board = board
        self._redis = redis
        self._renew_lock: Callable[[], None] = _ignore
        self.builder = Builder(settings, board, self._stay)
        self.leases = Leases(settings, board, redis)
        self.placing = Placing(board)
        self.facts = Facts(board)
        self.strays = Strays(board, self._stay)

    def sweep(self, wait_s: float = 0.0, *, whole: bool = False) -> dict[str, int]:
        """Every step once; returns what each mended. Nothing when somebody else still sweeps after ``wait_s``.

        ``whole`` looks over all keys of the board and not a portion. What can not be read on the board ends the sweep,
        after the board was built again; the next one goes on.
        """
        with self._alone(wait_s) as alone:
            if not alone:
                return {}
            mended = {"broken_board": self.builder.broken(), "set_aside": 0}
            try:
                before = self._board.inspection.values_aside()
                mended |= {step: repair() for step, repair in self._repairs(whole).items()}
                mended["set_aside"] = self._board.inspection.values_aside() - before
            except BoardLost:
                mended["broken_board"] += self.builder.broken()
        if any(mended.values()):
            log.info("mended %s", {step: count for step, count in mended.items() if count})
        return mended

    def _repairs(self, whole: bool) -> dict[str, Callable[[], int]]:
        """Each repair by its name, in the order in which they run."""
        return {
            "lost_board": self.builder.lost,
            "rubbish_in_queues": self.rubbish_in_queues,
            "controls": self.controls,
            "scheduled_and_due": lambda: due.wake_due(self._board),
            "future": self.future,
            "expired_leases": self.leases.expired,
            "orphaned_runs": self.leases.orphaned,
            "not_on_the_board": self.placing.missing,
            "not_pending": self.placing.stale,
            "facts": self.facts.changed,
            "miscounted": self.facts.miscounted,
            "strays": lambda: self.strays.entries(whole=whole),
            "older_boards": lambda: self.strays.older_boards(whole=whole),
        }

    def rebuild(self) -> int:
        """Make a lost board again, whole; returns how many jobs were placed. Others wait for it to end."""
        with self._alone() as alone:
            return self.builder.broken() + self.builder.lost() if alone else 0

    def adopt_settings(self) -> bool:
        """For a start: when the board has other bands or tiers than the settings, build it again by these.

        Returns whether it now has ours; False when another process sweeps, so that we have to ask again.
        """
        with suppress(BoardLost):
            if self.builder.has_our_layout():
                controls.apply(self._board, self._settings)
                return True
        with self._alone() as alone:
            if alone:
                self.builder.start_over()
            return alone

    def rubbish_in_queues(self) -> int:
        """RQ's keys hold what they should not: set it aside, else workers and dispatchers stumble over it for ever."""
        bands = self._settings.bands
        sides = lanes.side_queues(bands, self._board.codes.by_band())
        return hygiene.mend(self._redis, [lanes.WAKE_QUEUE, *(band.queue for band in bands), *sorted(sides)])

    def controls(self) -> int:
        """Another policy was chosen, or lanes were paused, while Redis was away: bring the board in line."""
        changed = controls.reapply(self._board, self._settings)
        failpoint("repair.controls_told")
        return changed

    def future(self) -> int:
        """Redis's clock was put back: bring back what stands in the future by it."""
        brought = self._board.upkeep.mend_future(self._settings.lease_s)
        failpoint("repair.brought_back")
        return brought

    @contextmanager
    def _alone(self, wait_s: float = 0.0) -> Iterator[bool]:
        with self._board.presence.sole("repair", LOCK_S, wait_s) as stay:
            self._renew_lock = stay or _ignore
            yield stay is not None

    def _stay(self) -> None:
        """Keep the others from sweeping for another LOCK_S seconds."""
        self._renew_lock()


def _ignore() -> None:
    pass


def main(settings: Settings) -> dict[str, int]:
    """One whole sweep by hand; returns what each step mended. Raises NotOurTurn."""
    refuse_unfit(settings)
    with ledger_app(settings).app_context(), connect(settings.redis_url) as redis:
        try:
            sweeper = Sweeper(settings, Board(redis), redis)
            mended = sweeper.sweep(whole=True)
            if not mended:
                log.warning("others sweep: waiting for up to %g s", TURN_S)
                mended = sweeper.sweep(TURN_S, whole=True)
        finally:
            db.engine.dispose()
    if not mended:
        raise NotOurTurn(f"others have swept for {TURN_S:g} s, and this command has done nothing: try again")
    return mended
