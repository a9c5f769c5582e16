"""Builds the board from SQL: its rules, the facts of sites and users, and every pending job."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import select

from jobsched.base.failpoints import failpoint
from jobsched.board import Board, State, layout
from jobsched.config import Settings
from jobsched.domain import BoardLost, SiteFacts
from jobsched.intake import controls
from jobsched.ledger import moves
from jobsched.ledger.database import reading, writing
from jobsched.ledger.models import SITE_FACTS, UserRecord

log = logging.getLogger(__name__)

#: Rows that are looked at in one go.
PORTION = 5_000
#: A board that can not be read is built anew at once; again only after so many times as long as that took.
REST = 10.0


class Builder:
    """Builds the board again where it is lost or can not be read. ``stay`` is called between portions."""

    def __init__(self, settings: Settings, board: Board, stay: Callable[[], None]) -> None:
        self._settings, self._board, self._stay = settings, board, stay
        self._build_again_at = float("-inf")
        self._said = ""

    def broken(self) -> int:
        """Some process could not read the board: build it again from SQL, whatever stands there. 1 when that was done.

        Takes at most a tenth of the time, should something make the board unreadable again and again.
        """
        with suppress(BoardLost):
            self._board.rules.read()  # reports that they can not be read, should that be so
        why = self._board.rules.broken()
        begun = time.monotonic()
        if why is None or begun < self._build_again_at:
            return 0
        self._say(f"the board can not be read ({why}): building it again from SQL")
        self._board.wipe(measured=True)
        failpoint("repair.broken_wiped")
        self._build()
        self._board.rules.note_rebuilt(why)
        self._build_again_at = time.monotonic() + REST * (time.monotonic() - begun)
        return 1

    def lost(self) -> int:
        """The board has no rules (FLUSHALL, a Redis restarted without data), or its building was cut off: build it."""
        with suppress(BoardLost):
            if self._board.rules.read().state is not State.BUILDING:
                return 0
        self._say("no whole board in Redis: building it from SQL")
        return self._build()

    def has_our_layout(self) -> bool:
        """Whether the board has the bands and tiers of the settings. Raises BoardLost."""
        return self._board.rules.read().layout == layout(self._settings.bands, self._settings.tiers)

    def start_over(self) -> None:
        """Wipe the board, which has other bands or tiers, and build it by the settings."""
        self._say("no board by the rules of the settings: building it from SQL")
        self._board.wipe()
        failpoint("repair.wiped")
        self._build()

    def _build(self) -> int:
        placed = build(self._board, self._settings, self._stay)
        self._said = ""
        return placed

    def _say(self, why: str) -> None:
        """Log why the board is built, once until that is done: while a server is away, it is tried over and over."""
        if why != self._said:
            log.warning("%s", why)
        self._said = why


def build(board: Board, settings: Settings, stay: Callable[[], None]) -> int:
    """Make the board of what SQL holds; returns how many jobs were placed. ``stay`` is called between portions."""
    with writing() as session:
        moves.assign_bands(session, settings.bands)
    failpoint("repair.bands_assigned", effect="sql")
    controls.install(board, settings)
    failpoint("repair.installed")
    with reading() as session:
        board.update_sites(SiteFacts(*row) for row in session.execute(select(*SITE_FACTS)))
        failpoint("repair.all_sites_told")
        inactive = session.scalars(select(UserRecord.id).where(UserRecord.is_active.is_(False)))
        board.update_users((user, False) for user in inactive)
        failpoint("repair.inactive_users_told")
    after = placed = 0
    while True:
        with reading() as session:
            jobs = moves.pending(session, after, PORTION)
        if not jobs:
            break
        stay()
        placed += board.place(jobs, arriving=False)
        failpoint("repair.portion_placed")
        after = jobs[-1].id
    board.rules.mark_built()
    failpoint("repair.built")
    return placed
