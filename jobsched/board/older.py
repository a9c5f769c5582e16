"""Removes boards of older shapes once no process uses them. Their jobs are in SQL, so nothing is read from them."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

from jobsched.board.store import LONGEST_TTL_S, OLDER, Part, of_a_value

#: The processes that work by a board.
_KINDS = ("dispatcher", "worker")
_BEGINNINGS = tuple(prefix.encode() for prefix in OLDER)


class OlderBoards(Part):
    """During an upgrade processes of an older version work by their own board, beside ours."""

    def alive(self, *kinds: str) -> int:
        """How many living processes of these kinds work by an older board; of any kind where none is named."""
        return sum(self._living(f"{prefix}alive:{kind}") for prefix in OLDER for kind in kinds or _KINDS)

    def drop(self, cursor: int, count: int) -> tuple[int, int]:
        """Look at about ``count`` keys of Redis from a scan cursor (0: the start) on, and drop those of older boards.

        Returns the next cursor, and how many keys it dropped. Drops nothing while a process works by such a board.
        """
        if self.alive():
            return 0, 0
        scanned: Any = self._redis.scan(cursor, match="jobsched*", count=count)
        next_cursor, keys = scanned
        gone = [key for key in keys if key.startswith(_BEGINNINGS)]
        if gone:
            self._redis.unlink(*gone)
        return int(next_cursor), len(gone)

    def _living(self, key: str) -> int:
        now = self._store.redis_now_s()
        try:
            return int(self._redis.zcount(key, now, now + LONGEST_TTL_S))
        except ResponseError as error:
            if not of_a_value(error):
                raise
            return 0  # no process says there that it is alive
