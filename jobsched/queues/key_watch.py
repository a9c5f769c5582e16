"""Detects workers that refuse the dispatchers' seals because SECRET_KEY differs; reports them in log and board."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from redis.exceptions import RedisError

from jobsched.board import Board
from jobsched.domain import BoardLost
from jobsched.queues import seal

log = logging.getLogger(__name__)

#: What processes are, on the board, whose key is not that of a dispatcher.
REFUSE = "refuse"
#: How often keys are compared, and for how long it counts that they differed, in seconds.
EVERY_S, COUNTS_S = 5.0, 15.0


class KeyWatch:
    """Compares our keys with those that dispatchers seal with; ``name`` is what this process is called."""

    def __init__(self, board: Board, name: str) -> None:
        self._board, self._name = board, name
        self._lack: str | None = None
        self._next_look = 0.0

    def look(self) -> None:
        """Compare, if it is time to, and say so when the answer is another than before."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + EVERY_S
        with suppress(RedisError, BoardLost):  # then nothing is dispatched, either
            lack = seal.differs(self._board.presence.alive("key"))
            if lack:
                self._board.presence.beat(REFUSE, self._name, COUNTS_S)
            elif self._lack:
                self._board.presence.leave(REFUSE, self._name)
            if lack and not self._lack:
                log.error("SECRET_KEY: %s", lack)
            self._lack = lack


def warnings(board: Board) -> list[str]:
    """A sentence for each host whose workers refuse slices. Raises RedisError when Redis is away."""
    return [f"{name}: refuses slices, as its SECRET_KEY is not a dispatcher's: {seal.SAME_EVERYWHERE}"
            for name in sorted(board.presence.alive(REFUSE))]
