"""Finds and removes entries of the board that no SQL row stands for, a portion of the keys at a time."""

from __future__ import annotations

from jobsched.board import Board
from jobsched.config import Settings
from jobsched.ledger import lookup
from jobsched.ledger.database import reading
from jobsched.ledger.models import Site, UserRecord

#: Keys that one look takes on.
KEYS = 2_000


def drop_strays(board: Board, settings: Settings, cursor: int) -> tuple[int, int]:
    """Look at the keys from a scan cursor (0: the start) on; returns the next one, and how much of nobody's was found.

    Raises BoardBroken for what can neither be read nor be set aside.
    """
    cursor, seen = board.inspection.look(cursor, KEYS, board.rules.read().bands, settings.lease_s)
    with reading() as session:
        sites = seen.sites - lookup.existing(session, Site, seen.sites)
        users = seen.users - lookup.existing(session, UserRecord, seen.users)
    found = board.inspection.forget_users(users)
    found += sum(board.upkeep.recount(site) for site in sites | seen.displaced)
    for site in sites:
        board.forget_site(site)
    return cursor, found
