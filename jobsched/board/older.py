"""Removes boards of older shapes once no process uses them. Their jobs are in SQL, so nothing is read from them."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

from jobsched.board.scripts import LONGEST_TTL_S, OLDER, Scripts, of_a_value

#: The processes that go by a board.
_KINDS = ("dispatcher", "worker")
_BEGINNINGS = tuple(prefix.encode() for prefix in OLDER)


class Older(Scripts):
    """During an upgrade processes of an older version go by their own board, beside ours."""

    def older_alive(self, *kinds: str) -> int:
        """How many living processes of these kinds go by a board of an older shape; of any kind where none is named."""
        return sum(self._older_living(f"{prefix}alive:{kind}") for prefix in OLDER for kind in kinds or _KINDS)

    def drop_older(self, cursor: int, count: int) -> tuple[int, int]:
        """Look at about ``count`` keys of Redis from a scan cursor (0: the start) on, and drop those of older boards.

        Returns the next cursor, and how many keys it dropped. Drops nothing while somebody goes by such a board.
        """
        if self.older_alive():
            return 0, 0
        scanned: Any = self.redis.scan(cursor, match="jobsched*", count=count)
        next_cursor, keys = scanned
        gone = [key for key in keys if key.startswith(_BEGINNINGS)]
        if gone:
            self.redis.unlink(*gone)
        return int(next_cursor), len(gone)

    def _older_living(self, key: str) -> int:
        now = float(self._time())
        try:
            return int(self.redis.zcount(key, now, now + LONGEST_TTL_S))
        except ResponseError as error:
            if not of_a_value(error):
                raise
            return 0  # nobody says there that it is alive
