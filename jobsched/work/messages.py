"""Reads the message of an error, which runs the task's code: it may hang, exit, or produce endless text.

So it runs in a child process with little time, unless only Python's own code is involved.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from jobsched.base import processes
from jobsched.work import peeking

#: How long errors of one start may take to say what they say, in seconds.
SAY_S = 0.75
#: What is kept of each end of a message, in characters.
KEPT = 4_096
#: What the arguments of an error may hold to be put into words here, in characters, bytes or bits.
_PLAIN = 65_536

_exit = os._exit  # a task may have put something else in its place

_ARGS = vars(BaseException)["args"]
#: Errors that Python itself puts into words, by the function that does: the attributes that it puts into words.
_WORDED_BY: Mapping[Any, tuple[Any, ...]] = {
    BaseException.__str__: (_ARGS,),
    KeyError.__str__: (_ARGS,),
    ImportError.__str__: (_ARGS,),
    OSError.__str__: (_ARGS, *(vars(OSError)[name] for name in ("errno", "strerror", "filename", "filename2"))),
}


def of(errors: Sequence[BaseException]) -> list[str | None]:
    """What each error says of itself, its middle cut out beyond twice KEPT characters; None where it says nothing.

    Returns within SAY_S, and calls no code of a task in this process.
    """
    said = {i: _ends(str(error)) for i, error in enumerate(errors) if _is_plain(error)}
    others = {i: error for i, error in enumerate(errors) if i not in said}
    if others:
        with suppress(OSError):  # a task may have used up all processes, or all descriptors that there are
            said |= _with_room_for_descriptors(lambda: _ask_child(others))
    return [said.get(i) for i in range(len(errors))]


def _is_plain(error: BaseException) -> bool:
    """Whether only Python's own code takes part when an error is put into words. Runs no code of its class."""
    classes = map(peeking.attributes, peeking.ancestors(type(error)))
    worded_by = next(class_["__str__"] for class_ in classes if "__str__" in class_)
    attributes = next((of for by, of in _WORDED_BY.items() if by is worded_by), None)
    if attributes is None:
        return False
    values = [attribute.__get__(error) for attribute in attributes]
    return all(_is_plain_value(value) for value in (*values[0], *values[1:]))


def _is_plain_value(value: Any) -> bool:
    if type(value) in (str, bytes):
        return len(value) <= _PLAIN
    return value is None or type(value) in (bool, float) or (type(value) is int and value.bit_length() < 10_000)


def _ends(text: str) -> str:
    """A text of any length, and of any class derived from str, as plain text: whole, or without its middle."""
    if str.__len__(text) <= 2 * KEPT:
        return str.__str__(text)
    left_out = str.__len__(text) - 2 * KEPT
    head, tail = str.__getitem__(text, slice(KEPT)), str.__getitem__(text, slice(-KEPT, None))
    return f"{head} [... {left_out:,} characters left out ...] {tail}"


def _with_room_for_descriptors(ask: Callable[[], dict[int, str]]) -> dict[int, str]:
    """Ask under the hard limit: a task may have used up those of the soft one, or have lowered that."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        return ask()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _ask_child(errors: Mapping[int, BaseException]) -> dict[int, str]:
    """Have a child process put errors into words; those that it had no time for are left out."""
    reader, writer = os.pipe()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of 3.12, where threads run; the child locks nothing
            parent, child = os.getpid(), os.fork()
        if child == 0:
            try:
                processes.die_with_parent(parent)
                _say(errors, writer)
            finally:
                _exit(0)
        os.close(writer)
        writer = -1
        try:
            return dict(_parsed(_read(reader)))
        finally:
            _end(child)
    finally:
        for end in (reader, writer):
            if end >= 0:
                os.close(end)


def _say(errors: Mapping[int, BaseException], writer: int) -> None:
    """In the child: write a line of JSON for each error, as soon as it has been put into words."""
    os.setpgid(0, 0)  # so that what it forks ends with it
    for i, error in errors.items():
        try:
            said = _ends(str(error))
        except BaseException as broken:
            said = f"(its message could not be made: {peeking.name(type(broken))} was raised)"
        rest = json.dumps([i, said]).encode() + b"\n"
        while rest:
            rest = rest[os.write(writer, rest):]


def _read(reader: int) -> bytes:
    """What the child says until it ends, or its time does."""
    got, give_up = bytearray(), time.monotonic() + SAY_S
    while (left_s := give_up - time.monotonic()) > 0 and select.select([reader], [], [], left_s)[0]:
        chunk = os.read(reader, 65_536)
        if not chunk:
            break
        got += chunk
    return bytes(got)


def _parsed(lines: bytes) -> list[tuple[int, str]]:
    pairs: list[tuple[int, str]] = []
    for line in lines.split(b"\n"):
        with suppress(ValueError):  # half a line, or what the task wrote there
            i, said = json.loads(line)
            pairs.append((int(i), str(said)))
    return pairs


def _end(child: int) -> None:
    for kill in (os.killpg, os.kill):
        with suppress(OSError):
            kill(child, signal.SIGKILL)
    with suppress(ChildProcessError):  # the task may have said that nobody waits for children
        os.waitpid(child, 0)
