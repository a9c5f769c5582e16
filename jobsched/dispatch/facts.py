"""Repairs what the board knows of sites and users, and the numbers that it counts of them."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import select

from jobsched.base.failpoints import failpoint
from jobsched.board import Board
from jobsched.dispatch.rebuild import PORTION
from jobsched.domain import SiteFacts
from jobsched.ledger.database import reading
from jobsched.ledger.models import SITE_FACTS, Site, UserRecord

#: Sites that one sweep recounts.
SITES = 100
#: What one sweep may spend on that, in seconds: Redis does nothing else meanwhile.
COUNT_S = 0.2


class Facts:
    """Goes through all sites and users, a portion at a time."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._last_site = 0
        self._last_user = 0

    def changed(self) -> int:
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


def _portion(key: Any, *columns: Any, after: int, limit: int) -> Any:
    return select(key, *columns).where(key > after).order_by(key).limit(limit)
