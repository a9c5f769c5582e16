"""State that the kernel keeps for a process: folder, descriptors, signals, limits, identity, memory."""

from __future__ import annotations

import _thread
import fcntl
import importlib
import locale
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from jobsched.work.isolation.descriptors import Descriptors
from jobsched.work.isolation.environment import CEnvironment
from jobsched.work.isolation.kept import Kept, make_equal

#: A process that has grown by more than this since its first job is not kept for another, in bytes.
MOST_LEFT_BYTES = 256 * 1024 * 1024
#: To be given that much by the kernel takes longer than this, in seconds.
LOOK_S = 0.01

#: What stands behind signal, without its enumerations: these would take 20 times as long.
_signal: Any = importlib.import_module("_signal")
_SIGNALS = sorted(int(number) for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_LIMITS = [getattr(resource, f"RLIMIT_{name}") for name in (
    "AS", "CORE", "CPU", "DATA", "FSIZE", "MEMLOCK", "NOFILE", "NPROC", "STACK") if hasattr(resource, f"RLIMIT_{name}")]


def things() -> list[Kept]:
    """All of it, as it is for this process."""
    some = [
        _streams(),  # its flags are shared with the worker: they go back whatever comes
        Kept("threads", lambda: (threading.active_count(), _thread._count())),  # the latter also counts unnamed ones
        Kept("handlers of signals", lambda: [_signal.getsignal(number) for number in _SIGNALS], _handle),
        Kept("blocked signals", lambda: _signal.pthread_sigmask(signal.SIG_BLOCK, ()),
             lambda kept: _signal.pthread_sigmask(signal.SIG_SETMASK, kept)),
        # What these two tell, they end.
        Kept("timers", lambda: (signal.setitimer(signal.ITIMER_VIRTUAL, 0), signal.setitimer(signal.ITIMER_PROF, 0))),
        Kept("a descriptor for signals", lambda: signal.set_wakeup_fd(-1)),
        _folder(),
        Kept("the umask", _umask, os.umask),
        *_environment(),
        Kept("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda kept: locale.setlocale(locale.LC_ALL, kept)),
        Kept("limits", lambda: [resource.getrlimit(limit) for limit in _LIMITS], _limit),
        Kept("the priority", lambda: os.getpriority(os.PRIO_PROCESS, 0),
             lambda kept: os.setpriority(os.PRIO_PROCESS, 0, kept)),
        Kept("its group or session", lambda: (os.getpgrp(), os.getsid(0))),
        Kept("its user or groups", lambda: (os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups())),
        Kept("descriptors", Descriptors().changed),  # after chroot, this raises
    ]
    if hasattr(os, "sched_getaffinity"):
        some.append(Kept("its CPUs", lambda: os.sched_getaffinity(0), lambda kept: os.sched_setaffinity(0, kept)))
    if hasattr(os, "sched_getscheduler"):
        some.append(Kept("how it is scheduled", _scheduling, lambda kept: os.sched_setscheduler(0, *kept)))
    with suppress(OSError):
        some.append(_memory())
    with suppress(OSError):
        some.append(_killer())
    return some


def _streams() -> Kept:
    kept = [_stream(number) for number in range(3)]
    copies = [None if was is None else os.dup(number) for number, was in enumerate(kept)]

    def put_back(_: Any) -> None:
        for number, (was, copy) in enumerate(zip(kept, copies, strict=True)):
            if was is not None and copy is not None and _stream(number) != was:
                os.dup2(copy, number)
                fcntl.fcntl(number, fcntl.F_SETFL, was[2])

    return Kept("descriptors 0 to 2", lambda: (_flags(0), _stream(1), _stream(2)), put_back)


def _stream(number: int) -> tuple[int, int, int] | None:
    try:
        file = os.fstat(number)
        return file[1], file[2], fcntl.fcntl(number, fcntl.F_GETFL)  # node, device: by name takes longer
    except OSError:
        return None


def _flags(number: int) -> int | None:
    try:
        return fcntl.fcntl(number, fcntl.F_GETFL)
    except OSError:
        return None


def _folder() -> Kept:
    """By its path, which may be gone; back to the folder itself."""
    held = os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
    return Kept("the current folder", _path, lambda _: os.fchdir(held))


def _path() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return None


def _umask() -> int:
    now = os.umask(0o077)
    os.umask(now)
    return now


def _environment() -> list[Kept]:
    """The environment as Python and as C has it, and the time zone, which C reads from there."""
    names: dict[bytes, bytes] = vars(os.environ)["_data"]
    of_c = CEnvironment()

    def put_back(kept: list[bytes]) -> None:
        of_c.put_back(kept)
        time.tzset()

    return [Kept("the environment", names.copy, lambda kept: make_equal(names, kept)),
            Kept("the environment of C", of_c.strings, put_back),
            Kept("the time zone", _zone, lambda _: time.tzset())]


def _zone() -> tuple[Any, ...]:
    epoch = time.localtime(0)
    return time.tzname, time.timezone, time.altzone, epoch.tm_zone, epoch.tm_gmtoff


def _scheduling() -> tuple[int, os.sched_param]:
    return os.sched_getscheduler(0), os.sched_getparam(0)


def _handle(handlers: list[Any]) -> None:
    for number, handler in zip(_SIGNALS, handlers, strict=True):
        if _signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _limit(kept: list[tuple[int, int]]) -> None:
    for limit, both in zip(_LIMITS, kept, strict=True):
        if resource.getrlimit(limit) != both:
            resource.setrlimit(limit, both)


def _memory() -> Kept:
    """Whether the process has grown too large. That takes a while, so that short jobs need not look."""
    told, page = _open("/proc/self/statm"), resource.getpagesize()
    looked_at = monotonic()

    def resident() -> int:
        return int(os.pread(told, 128, 0).split()[1]) * page

    most = resident() + MOST_LEFT_BYTES
    large = False

    def is_large() -> bool:
        nonlocal looked_at, large
        now = monotonic()
        if now > looked_at + LOOK_S:
            looked_at, large = now, resident() > most
        return large

    return Kept("memory", is_large)


def _killer() -> Kept:
    """How soon the kernel would pick the process when memory runs out."""
    path = "/proc/self/oom_score_adj"
    told = _open(path)
    write: Callable[[bytes], None] = lambda kept: _write(path, kept)  # noqa: E731
    return Kept("the score of the memory killer", lambda: os.pread(told, 16, 0), write)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _write(path: str, value: bytes) -> None:
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(value)
