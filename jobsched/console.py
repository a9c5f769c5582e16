"""Lines for a person or a log, written without ever waiting for who reads them."""

from __future__ import annotations

import os
import select
from collections import deque

#: A descriptor that select calls writable takes this many bytes at once.
_PIECE = 256
#: Pieces kept for a reader that does not keep up; the oldest are dropped.
_KEPT = 4096


class Console:
    """A terminal, pipe or file to write lines to.

    A supervisor that waits for its reader (a terminal stopped with Ctrl-S, a full pipe) can not obey a signal, so
    what does not fit now is kept and tried again, and when the reader is gone everything is dropped.
    """

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd
        self._waiting: deque[bytes] = deque(maxlen=_KEPT)

    def line(self, text: str) -> None:
        """Write ``text`` and a newline, now or at a later :meth:`flush`."""
        data = f"{text}\n".encode(errors="replace")
        self._waiting.extend(data[at:at + _PIECE] for at in range(0, len(data), _PIECE))
        self.flush()

    def flush(self) -> None:
        """Write as much of what waits as the reader takes now."""
        try:
            while self._fd is not None and self._waiting and select.select([], [self._fd], [], 0)[1]:
                piece = self._waiting.popleft()
                written = os.write(self._fd, piece)
                if written < len(piece):
                    self._waiting.appendleft(piece[written:])
        except OSError:
            self._fd = None
