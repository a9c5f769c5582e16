"""Open files and sockets that a job leaves behind, or closes."""

from __future__ import annotations

import os
import socket
import stat
import sys
from contextlib import suppress

#: A job may leave connections open, which it will use again. A process that has so many more than at first is not kept.
MOST_LEFT = 64

_LINUX = sys.platform == "linux"
_LIST = "/proc/self/fd" if _LINUX else "/dev/fd"


class Descriptors:
    """The open descriptors of this process."""

    def __init__(self) -> None:
        self._count = _count()
        self._first = self._harmless = _listed()

    def changed(self) -> bool:
        """Whether one that was there is closed, or one is new that keeps something from others, or too many are."""
        now = _count()
        if now == self._count:
            return False
        listed = _listed()
        if self._first - listed or len(listed) > len(self._first) + MOST_LEFT:
            return True
        if any(map(_holds, listed - self._harmless)):
            return True
        self._count, self._harmless = now, listed
        return False


def _count() -> int:
    return (_LINUX and os.stat(_LIST).st_size) or len(os.listdir(_LIST))  # noqa: PTH116, PTH208 (quicker)


def _listed() -> set[int]:
    return {int(name) for name in os.listdir(_LIST)} - {_next()}  # noqa: PTH208


def _next() -> int:
    """The number that is free, and that the listing of all takes for itself."""
    number = os.open(os.devnull, os.O_RDONLY)
    os.close(number)
    return number


def _holds(number: int) -> bool:
    """Whether a descriptor keeps from others what only one can have: a lock, or an address."""
    try:
        mode = os.fstat(number).st_mode
    except OSError:
        return False
    if stat.S_ISSOCK(mode):
        return _has_address(number)
    if not _LINUX:
        return stat.S_ISREG(mode)
    with suppress(OSError), open(f"/proc/self/fdinfo/{number}", "rb") as told:  # noqa: PTH123
        return any(line.startswith(b"lock:") for line in told)
    return True


def _has_address(number: int) -> bool:
    """Whether a socket has an address at which others may call, rather than a peer."""
    with socket.socket(fileno=os.dup(number)) as found:
        with suppress(OSError):
            found.getpeername()
            return False
        address = found.getsockname()
    return bool(address[1] if isinstance(address, tuple) else address)
