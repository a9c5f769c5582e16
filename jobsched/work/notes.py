"""Notes from a task process to its worker, in memory that both share.

The memory outlives the process, however that ends, and a task cannot close it as it could close a pipe. It holds
numbers and JSON, which the worker checks with :mod:`jobsched.work.notes_reader`.
"""

from __future__ import annotations

import ctypes
import mmap

#: Memory for the notes of one process, in bytes; the kernel gives it page by page as it is written.
SIZE = 4 * 1024 * 1024
#: Room that one more outcome may need, in bytes: its result and its error, with each character escaped.
_MOST = 512 * 1024


class Head(ctypes.Structure):
    """Where a process is: how many jobs it has begun, noted the end of, and left nothing of behind.

    ``remains`` counts the bytes of what is noted of the job in hand, ``end`` is where the next outcome goes, ``lost``
    is what the worker tells: that the slice was taken back. Moments are those of time.monotonic().
    """

    _fields_ = (("begun", ctypes.c_uint32), ("noted", ctypes.c_uint32), ("clean", ctypes.c_uint32),
                ("remains", ctypes.c_uint32), ("end", ctypes.c_uint32), ("lost", ctypes.c_uint32),
                ("begun_at", ctypes.c_double), ("kill_at", ctypes.c_double))


#: Where the remains are, and behind them the outcomes, each after its size in four bytes.
REMAINS_AT, OUTCOMES_AT = ctypes.sizeof(Head), 64 * 1024


class Notes:
    """What one process writes; whoever shares the memory reads ``memory`` and ``head``."""

    def __init__(self, kill_at: float) -> None:
        self.memory = mmap.mmap(-1, SIZE)
        self.head = Head.from_buffer(self.memory)
        self.head.end, self.head.kill_at = OUTCOMES_AT, kill_at

    def begin(self, now: float) -> None:
        """The next job begins."""
        self.head.begun_at, self.head.remains = now, 0
        self.head.begun += 1

    def remain(self, remains: bytes) -> None:
        """The task has come to its end, and this is known of it until its outcome is noted. At most 60,000 bytes."""
        self.memory[REMAINS_AT : REMAINS_AT + len(remains)] = remains
        self.head.remains = len(remains)

    def note(self, outcome: bytes) -> None:
        """The job has ended so; it may have left something behind."""
        start = self.head.end
        end = start + 4 + len(outcome)
        self.memory[start:end] = len(outcome).to_bytes(4, "little") + outcome
        self.head.end = end
        self.head.noted += 1

    def leave(self) -> None:
        """Nothing of the job is left behind any more."""
        self.head.clean += 1

    def lose(self) -> None:
        """The slice was taken back: no other word of it is believed."""
        self.head.lost = 1

    @property
    def full(self) -> bool:
        """Whether another outcome might not find room."""
        return bool(self.head.end + _MOST > SIZE)

    @property
    def kill_at(self) -> float:
        """When the process is to be killed unless it has come further by then."""
        return float(self.head.kill_at)

    @kill_at.setter
    def kill_at(self, moment: float) -> None:
        self.head.kill_at = moment
