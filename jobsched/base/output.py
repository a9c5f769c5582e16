"""Flushes what tasks print before a worker's child process ends, because it ends without Python's clean-up."""

from __future__ import annotations

import sys
from contextlib import suppress


def by_lines() -> None:
    """Make standard output and error write each line when it is printed, also to a file or a pipe."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # closed, or replaced by something simpler
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def flush() -> None:
    """Write out the buffers of standard output and error."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
