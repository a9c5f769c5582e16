"""Where an error was raised: the lines of its traceback, read only from regular files."""

from __future__ import annotations

import linecache
import stat
from collections import deque
from pathlib import Path
from types import TracebackType

#: How many frames at each end of a traceback are shown.
_FRAMES = 10
#: How many frames are looked at, in a traceback that is longer than any recursion should be.
_FAR = 1_000_000
#: Source lines are shown from files up to this size, in bytes, each up to so many characters.
_SOURCE_BYTES, _WIDTH = 4 * 1024 * 1024, 300


def lines(trace: TracebackType | None) -> str:
    """The frames of a traceback as Python prints them, the outermost first; the middle of many is left out."""
    first: list[str] = []
    last: deque[TracebackType] = deque(maxlen=_FRAMES)
    seen = 0
    while trace is not None and seen < _FAR:
        if seen < _FRAMES:
            first.append(_shown(trace))
        else:
            last.append(trace)
        trace, seen = trace.tb_next, seen + 1
    left_out = seen - len(first) - len(last)
    gap = [f"  [{left_out} more frames are left out]\n"] if left_out else []
    return "".join([*first, *gap, *(_shown(one) for one in last)])


def _shown(trace: TracebackType) -> str:
    code, number = trace.tb_frame.f_code, trace.tb_lineno
    path = str.__str__(code.co_filename)[:1_000]
    source = _source(path, number)
    return f'  File "{path}", line {number}, in {str.__str__(code.co_name)[:200]}\n' + (source and f"    {source}\n")


def _source(path: str, number: int | None) -> str:
    """A line of source; empty where there is none. A path may name anything that a task could compile code under."""
    try:
        status = Path(path).stat()
        if number is None or not stat.S_ISREG(status.st_mode) or status.st_size > _SOURCE_BYTES:
            return ""
        return linecache.getline(path, number).strip()[:_WIDTH]
    except (OSError, ValueError, SyntaxError, MemoryError):
        return ""
