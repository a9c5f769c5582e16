"""Removes jobsched's secrets from the environment of tasks, unless JOBSCHED_TASK_ENV names them.

So an error report that lists the environment, or a program that a task starts, does not reveal what opens the queue and
the ledger. This is no security boundary: a task runs as the user of its worker, and can read what that user can.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from jobsched.config import SECRETS

#: Where /proc/PID/stat says at which addresses the block of the environment begins and ends, after the name.
_START, _END = 47, 48


def withheld(environ: Mapping[str, str], kept: Collection[str]) -> tuple[str, ...]:
    """The variables of ``environ`` that tasks do not get, when those of ``kept`` are given to them."""
    return tuple(name for name in SECRETS if name in environ and name not in kept)


def remove(names: Collection[str]) -> None:
    """Remove variables from the environment of this process, and of what it starts from now on."""
    for name in names:
        os.environ.pop(name, None)
    with suppress(OSError, ValueError, IndexError):  # not Linux, or it does not let us
        _blot_out({os.fsencode(name) for name in names})


def explained(fault: str, kept: Collection[str]) -> str:
    """What is wrong with a module of tasks; where that may be for want of a variable, with what gives it to tasks."""
    for name in re.findall(r"\w+", fault):
        if name in SECRETS and name not in kept:
            return f"{fault}; tasks get {name} only where JOBSCHED_TASK_ENV names it"
    return fault


def _blot_out(names: Collection[bytes]) -> None:
    """Overwrite the values in the block that this process was started with.

    Others see that as /proc/PID/environ, which stays as it was whatever is removed from os.environ.
    """
    numbers = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
    at, end = int(numbers[_START]), int(numbers[_END])
    with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
        memory.seek(at)
        for entry in memory.read(end - at).split(b"\0"):
            name, _, value = entry.partition(b"=")
            if name in names:
                memory.seek(at + len(entry) - len(value))
                memory.write(bytes(len(value)))
            at += len(entry) + 1
