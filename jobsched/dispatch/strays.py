"""Finds and removes entries of the board that no SQL row stands for, a portion of the keys at a time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobsched.board import Board
from jobsched.config import Settings
from jobsched.ledger.database import reading
from jobsched.ledger.models import Site, UserRecord

#: Keys that one look takes on.
KEYS = 2_000


def drop_strays(board: Board, settings: Settings, cursor: int) -> tuple[int, int]:
    """Look at the keys from a scan cursor (0: the start) on; returns the next one, and how much of nobody's was found.

    Raises BoardBroken for what can neither be read nor be set aside.
    """
    cursor, seen = board.inspect(cursor, KEYS, board.rules().bands, settings.lease_s)
    with reading() as session:
        sites, users = _missing(session, Site.id, seen.sites), _missing(session, UserRecord.id, seen.users)
    found = board.forget_users(users)
    found += sum(board.recount(site) for site in sites | seen.displaced)
    for site in sites:
        board.forget_site(site)
    return cursor, found


def _missing(session: Session, column: Any, ids: set[int]) -> set[int]:
    """Those of ``ids`` that SQL does not have; asked for in portions: databases bound the parameters of a statement."""
    wanted = sorted(ids)
    there: set[int] = set()
    for start in range(0, len(wanted), 1000):
        there.update(session.scalars(select(column).where(column.in_(wanted[start : start + 1000]))))
    return ids - there
