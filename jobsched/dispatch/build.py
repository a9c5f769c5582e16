"""Builds the board from SQL: its rules, the facts of sites and users, and every pending job."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import select

from jobsched.base.failpoints import failpoint
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.domain import SiteFacts
from jobsched.intake import controls
from jobsched.ledger import moves
from jobsched.ledger.database import reading, writing
from jobsched.ledger.models import SITE_FACTS, UserRecord

#: Rows that are looked at in one go.
PORTION = 5_000


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
