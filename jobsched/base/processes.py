"""Operating system processes: starts them so that they end with this one, finds them again, and reaps them.

Two features need Linux, and are left out elsewhere: ending a child when its parent is killed, and adopting orphans.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
#: How long a killed process may take to end, in seconds.
MOST_END_S = 5.0
# Loaded before any fork, because a child between fork and exec must load nothing.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends, however it ends. Survives exec.

    ``parent`` is the id of the process that started this one. If it is gone already, this process ends at once.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that each can be found and ended."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@contextmanager
def on_one_cpu() -> Iterator[None]:
    """During the block, keep this thread, and the processes that it starts, on the CPU on which it runs now.

    For two processes that take turns: to wake a process on another CPU can take longer than its answer.
    """
    if sys.platform == "linux" and _libc is not None:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {_libc.sched_getcpu()})
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)
    else:
        yield


def spawn(argv: Sequence[str], env: Mapping[str, str], *, cwd: Path | None = None,
          output: int | IO[bytes] = subprocess.PIPE, stdin: bytes = b"", umask: int = -1) -> subprocess.Popen[bytes]:
    """Start ``argv`` as the leader of a new session, with its output and errors in one pipe or in ``output``.

    ``cwd`` is its working directory, by default that of this process. ``stdin`` is its whole standard input, at most
    4096 bytes. ``umask`` holds the permissions that the files it makes do not get, by default as in this process.
    Call it from the main thread: the child is killed when the thread that started it ends.
    Raises OSError when the program can not be started.
    """
    parent = os.getpid()
    with _pipe_that_holds(stdin) as standard_input:
        return subprocess.Popen(
            argv, cwd=cwd, env=dict(env), stdin=standard_input, stdout=output, stderr=subprocess.STDOUT, umask=umask,
            start_new_session=True, preexec_fn=lambda: die_with_parent(parent),
        )


@contextmanager
def _pipe_that_holds(data: bytes) -> Iterator[int]:
    if not data:
        yield subprocess.DEVNULL
        return
    reader, writer = os.pipe()
    try:
        with os.fdopen(writer, "wb") as end:
            end.write(data)
        yield reader
    finally:
        os.close(reader)


def stop_signals() -> tuple[signal.Signals, ...]:
    """The signals that ask a supervisor to end: SIGTERM, SIGINT, and SIGHUP unless it is ignored, as under nohup."""
    hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGTERM, signal.SIGINT, *hangup)


def reap() -> dict[int, int]:
    """The exit codes, by process id, of the children that have ended since the last call, adopted children included.

    A negative code is the number of the signal that ended the child.
    """
    ended: dict[int, int] = {}
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended


def described(code: int) -> str:
    """An exit code of :func:`reap` or subprocess in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def descendants(spared: Collection[int] = ()) -> list[psutil.Process]:
    """All living descendants of this process, except ``spared``."""
    return [process for process in psutil.Process().children(recursive=True)
            if process.pid not in spared and _lives(process)]


def children() -> frozenset[int]:
    """The process ids of all children, also of ended ones that were not waited for. Quick when there are none."""
    if not _has_children():
        return frozenset()
    return frozenset(process.pid for process in psutil.Process().children())


def end_children(spared: Collection[int] = ()) -> bool:
    """Kill and reap all children except ``spared``, and all their descendants; returns whether any child was alive.

    After :func:`adopt_orphans`, orphaned descendants become children of this process and are killed too.
    """
    some, give_up = False, time.monotonic() + MOST_END_S
    while _has_children():
        ours = [process for process in psutil.Process().children() if process.pid not in spared]
        living = [process for process in ours if _lives(process)]
        some = some or bool(living)
        if not spared:
            reap()
        else:
            _reap_those(process.pid for process in ours)
        if not ours:
            break
        for process in living:
            with suppress(psutil.Error):
                kill([*process.children(recursive=True), process])
        if time.monotonic() > give_up:
            log.error("can not end the processes %s", sorted(process.pid for process in living))
            break
        time.sleep(0.001)
    return some


def of_session(session: int) -> list[psutil.Process]:
    """The living descendants of this process in the session ``session``."""
    return [process for process in descendants() if _session(process.pid) == session]


def kill_tree(pid: int) -> None:
    """Kill ``pid``, a child that was not waited for yet, and all its descendants."""
    below: list[psutil.Process] = []
    with suppress(psutil.Error):
        below = psutil.Process(pid).children(recursive=True)
    os.kill(pid, signal.SIGKILL)
    kill(below)


def kill(processes: Collection[psutil.Process]) -> None:
    """Kill each of ``processes``, unless its process id belongs to another process by now."""
    for process in processes:
        with suppress(psutil.Error):
            process.kill()


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _reap_those(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
