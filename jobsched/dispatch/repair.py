"""The sweep: one repair for each way in which SQL and the board can differ.

Each repair is idempotent, does a bounded amount of work, and returns how many things it mended. SQL is right; the
repairs bring the board in line with it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from redis import Redis
from sqlalchemy import select

from jobsched.base.connections import connect
from jobsched.base.failpoints import failpoint
from jobsched.board import Board, State, layout
from jobsched.config import Settings
from jobsched.dispatch.build import PORTION, build
from jobsched.dispatch.strays import KEYS, drop_strays
from jobsched.domain import BoardLost, JobschedError, SiteFacts, WaitingJob
from jobsched.intake import controls
from jobsched.ledger import moves
from jobsched.ledger.database import ledger_app, reading, refuse_unfit, writing
from jobsched.ledger.models import SITE_FACTS, Site, UserRecord, db, utcnow
from jobsched.queues import hygiene, lanes, schedule

log = logging.getLogger(__name__)

#: Sites that one sweep recounts.
SITES = 100
#: What one sweep may spend on that, in seconds: Redis does nothing else meanwhile.
COUNT_S = 0.2
#: A sweeper that is killed keeps the others from sweeping for so long, in seconds. One that takes longer is joined by
#: another, which costs work and does no harm.
LOCK_S = 3.0

#: A board that can not be read is built anew at once; again only after so many times as long as that took.
REST = 10.0
#: How long ``jobsched repair`` waits for its turn while others sweep, in seconds.
TURN_S = 60.0

SILENT = "the worker fell silent"


class NotOurTurn(JobschedError):
    """Others have swept for so long that nothing was done."""


class Sweeper:
    """Runs the steps, and remembers where each of them goes on. Needs an application context of the ledger."""

    def __init__(self, settings: Settings, board: Board, redis: Redis) -> None:
        self._settings = settings
        self._board = board
        self._redis = redis
        self._last_pending = 0
        self._last_site = 0
        self._last_user = 0
        self._scan = 0
        self._scan_keys = 0
        self._scan_older = 0
        self._build_again_at = float("-inf")
        self._told = ""
        self._stay: Callable[[], None] = _ignore

    def sweep(self, wait_s: float = 0.0, *, whole: bool = False) -> dict[str, int]:
        """Every step once; returns what each mended. Nothing when somebody else still sweeps after ``wait_s``.

        ``whole`` looks over all keys of the board and not a portion. What can not be read on the board ends the sweep,
        after the board was built again; the next one goes on.
        """
        with self._alone(wait_s) as alone:
            if not alone:
                return {}
            mended = {"broken_board": self.broken_board(), "set_aside": 0}
            try:
                before = self._board.inspection.values_aside()
                mended |= self._steps(whole)
                mended["set_aside"] = self._board.inspection.values_aside() - before
            except BoardLost:
                mended["broken_board"] += self.broken_board()
        if any(mended.values()):
            log.info("mended %s", {step: count for step, count in mended.items() if count})
        return mended

    def _steps(self, whole: bool) -> dict[str, int]:
        return {
            "lost_board": self.lost_board(),
            "rubbish_in_queues": self.rubbish_in_queues(),
            "controls": self.controls(),
            "scheduled_and_due": schedule.wake_due(self._board),
            "future": self.future(),
            "expired_leases": self.expired_leases(),
            "orphaned_runs": self.orphaned_runs(),
            "not_on_the_board": self.not_on_the_board(),
            "not_pending": self.not_pending(),
            "facts": self.facts(),
            "miscounted": self.miscounted(),
            "strays": self.strays(whole=whole),
            "older_boards": self.older_boards(whole=whole),
        }

    def rebuild(self) -> int:
        """Make a lost board again, whole; returns how many jobs were placed. Others wait for it to end."""
        with self._alone() as alone:
            return self.broken_board() + self.lost_board() if alone else 0

    @contextmanager
    def _alone(self, wait_s: float = 0.0) -> Iterator[bool]:
        with self._board.presence.sole("repair", LOCK_S, wait_s) as stay:
            self._stay = stay or _ignore
            yield stay is not None

    def broken_board(self) -> int:
        """Some process could not read the board: build it again from SQL, whatever stands there. 1 when that was done.

        Takes at most a tenth of the time, should something make the board unreadable again and again.
        """
        with suppress(BoardLost):
            self._board.rules.read()  # reports that they can not be read, should that be so
        why = self._board.rules.broken()
        begun = time.monotonic()
        if why is None or begun < self._build_again_at:
            return 0
        self._tell(f"the board can not be read ({why}): building it again from SQL")
        self._board.wipe(measured=True)
        failpoint("repair.broken_wiped")
        self._build()
        self._board.rules.note_rebuilt(why)
        self._build_again_at = time.monotonic() + REST * (time.monotonic() - begun)
        return 1

    def lost_board(self) -> int:
        """The board has no rules (FLUSHALL, a Redis restarted without data), or its building was cut off: build it."""
        with suppress(BoardLost):
            if self._board.rules.read().state is not State.BUILDING:
                return 0
        self._tell("no whole board in Redis: building it from SQL")
        return self._build()

    def rubbish_in_queues(self) -> int:
        """RQ's keys hold what they should not: set it aside, else workers and dispatchers stumble over it for ever."""
        bands = self._settings.bands
        sides = lanes.side_queues(bands, self._board.codes.by_band())
        return hygiene.mend(self._redis, [lanes.WAKE_QUEUE, *(band.queue for band in bands), *sorted(sides)])

    def adopt_settings(self) -> bool:
        """For a start: when the board has other bands or tiers than the settings, build it again by these.

        Returns whether it now has ours; False when somebody else sweeps, so that we have to ask again.
        """
        ours = layout(self._settings.bands, self._settings.tiers)
        with suppress(BoardLost):
            if self._board.rules.read().layout == ours:
                controls.tell(self._board, self._settings)
                return True
        with self._alone() as alone:
            if alone:
                self._tell("no board by the rules of the settings: building it from SQL")
                self._board.wipe()
                failpoint("repair.wiped")
                self._build()
            return alone

    def controls(self) -> int:
        """Another policy was chosen, or lanes were paused, while Redis was away: bring the board in line."""
        changed = controls.remind(self._board, self._settings)
        failpoint("repair.controls_told")
        return changed

    def _tell(self, why: str) -> None:
        """Log why the board is built, once until that is done: while a server is away, it is tried over and over."""
        if why != self._told:
            log.warning("%s", why)
        self._told = why

    def _build(self) -> int:
        placed = build(self._board, self._settings, self._stay)
        self._told = ""
        return placed

    def future(self) -> int:
        """Redis's clock was put back: bring back what stands in the future by it."""
        brought = self._board.upkeep.mend_future(self._settings.lease_s)
        failpoint("repair.brought_back")
        return brought

    def expired_leases(self) -> int:
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

    def orphaned_runs(self) -> int:
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

    def not_on_the_board(self) -> int:
        """A job is pending, but the board does not know it (Redis was away): place it."""
        jobs = self._pending(self._last_pending)
        self._last_pending = jobs[-1].id if len(jobs) == PORTION else 0
        placed = self._board.place(jobs)
        failpoint("repair.missing_placed")
        return placed

    def not_pending(self) -> int:
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

    def facts(self) -> int:
        """Sites or users have changed while Redis was away: tell the board."""
        with reading() as session:
            sites = session.execute(_portion(*SITE_FACTS, after=self._last_site, limit=SITES)).all()
            users = session.execute(
                _portion(UserRecord.id, UserRecord.is_active, after=self._last_user, limit=PORTION)
            ).all()
        self._last_user = users[-1].id if len(users) == PORTION else 0
        told = self._board.update_sites(SiteFacts(*row) for row in sites)
        failpoint("repair.sites_told")
        told += self._board.update_users((row.id, row.is_active) for row in users)
        failpoint("repair.users_told")
        return told

    def miscounted(self) -> int:
        """Counts or points differ from the lines that they count: count again."""
        give_up = time.monotonic() + COUNT_S
        with reading() as session:
            sites = list(session.scalars(_portion(Site.id, after=self._last_site, limit=SITES)))
        wrong = 0
        for site in sites:
            wrong += self._board.upkeep.recount(site)
            self._last_site = site
            if time.monotonic() > give_up:
                break
        else:
            self._last_site = self._last_site if len(sites) == SITES else 0
        failpoint("repair.recounted")
        wrong += self._board.upkeep.recount_lanes(PORTION)
        failpoint("repair.lanes_recounted")
        return wrong

    def strays(self, *, whole: bool = False) -> int:
        """What no site, user or job stands for, or was never a board's: off it. Returns how much was found so.

        Looks at a portion of the keys, or at the ``whole`` board.
        """
        found = 0
        while True:
            self._scan_keys, dropped = drop_strays(self._board, self._settings, self._scan_keys)
            failpoint("repair.strays_dropped")
            found += dropped
            self._stay()
            if not whole or self._scan_keys == 0:
                return found

    def older_boards(self, *, whole: bool = False) -> int:
        """An older version left its board behind: drop it, once none of its processes lives; returns how many keys.

        Looks at a portion of the keys, or at the ``whole`` of Redis. What waited there is pending in SQL.
        """
        dropped = 0
        while True:
            self._scan_older, keys = self._board.older.drop(self._scan_older, KEYS)
            failpoint("repair.older_dropped")
            dropped += keys
            self._stay()
            if not whole or self._scan_older == 0:
                return dropped

    def _pending(self, after: int) -> list[WaitingJob]:
        with reading() as session:
            return moves.pending(session, after, PORTION)


def _portion(key: Any, *columns: Any, after: int, limit: int) -> Any:
    return select(key, *columns).where(key > after).order_by(key).limit(limit)


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
