"""Writes lines to a terminal or a log, and never blocks on a slow reader."""

from __future__ import annotations

import os
import select
from collections import deque
from contextlib import suppress

#: A descriptor that select calls writable takes this many bytes at once.
_PIECE = 256
#: Bytes kept for a reader that does not keep up; the oldest lines are dropped.
_KEPT = 1_048_576


class Console:
    """A terminal, pipe or file to write lines to.

    A supervisor that waits for its reader (a terminal stopped with Ctrl-S, a full pipe) can not obey a signal, so
    what does not fit now is kept and tried again. So is what can not be written: a full disk is freed one day, and a
    named pipe gets another reader. Where lines had to be dropped, a line says how many.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._begun = 0
        self._dropped = 0

    def line(self, text: str) -> None:
        """Write ``text`` and a newline, now or at a later :meth:`flush`."""
        self._keep(f"{text}\n".encode(errors="replace"))
        self.flush()

    def flush(self) -> None:
        """Write as much of what waits as the reader takes now."""
        with suppress(OSError):
            while self._waiting and select.select([], [self._fd], [], 0)[1]:
                line = self._waiting[0]
                self._begun += os.write(self._fd, memoryview(line)[self._begun:self._begun + _PIECE])
                if self._begun == len(line):
                    self._done()

    def _keep(self, line: bytes) -> None:
        self._waiting.append(line)
        self._size += len(line)
        while self._size > _KEPT and len(self._waiting) > 2:
            self._size -= len(self._waiting[1])
            del self._waiting[1]  # the first may be written in part
            self._dropped += 1

    def _done(self) -> None:
        self._size, self._begun = self._size - len(self._waiting.popleft()), 0
        if self._dropped:
            note = b"[%d lines were dropped here: they could not be written]\n" % self._dropped
            self._waiting.appendleft(note)
            self._size, self._dropped = self._size + len(note), 0
