"""Finds and removes entries of the board that no SQL row stands for, and boards of older versions."""

from __future__ import annotations

from collections.abc import Callable

from jobsched.base.failpoints import failpoint
from jobsched.board import Board
from jobsched.ledger import lookup
from jobsched.ledger.database import reading
from jobsched.ledger.models import Site, UserRecord

#: Keys that one look takes on.
KEYS = 2_000


class Strays:
    """Scans the keys of Redis, a portion at a time. ``stay`` is called between portions."""

    def __init__(self, board: Board, stay: Callable[[], None]) -> None:
        self._board, self._stay = board, stay
        self._scan = 0
        self._scan_older = 0

    def entries(self, *, whole: bool = False) -> int:
        """What no site, user or job stands for, or was never a board's: off it. Returns how much was found so.

        Looks at a portion of the keys, or at the ``whole`` board.
        """
        found = 0
        while True:
            dropped = self._drop_portion()
            failpoint("repair.strays_dropped")
            found += dropped
            self._stay()
            if not whole or self._scan == 0:
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

    def _drop_portion(self) -> int:
        """Look at a portion of the keys. Raises BoardBroken for what can neither be read nor be set aside."""
        board, bands = self._board, self._board.rules.read().bands
        self._scan, seen = board.inspection.look(self._scan, KEYS, bands)
        with reading() as session:
            sites = seen.sites - lookup.existing(session, Site, seen.sites)
            users = seen.users - lookup.existing(session, UserRecord, seen.users)
        found = board.inspection.forget_users(users)
        found += sum(board.upkeep.recount(site) for site in sites | seen.displaced)
        for site in sites:
            board.forget_site(site)
        return found
