"""A task that reports all state that a task can find in its process."""

from __future__ import annotations

import _thread
import asyncio
import builtins
import csv
import ctypes
import decimal
import fcntl
import gc
import json
import locale
import logging
import multiprocessing
import os
import random
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobsched import task, tasks
from tests.leaking_tasks import held_for_good, listening, locking, variable

_libc = ctypes.CDLL(None)


@task
def look_around(payload: dict[str, Any]) -> dict[str, Any]:
    """All of what a task can find, and the process id."""
    return {"pid": os.getpid(), **_of_kernel(), **_of_python(), **_of_libraries()}


def _of_kernel() -> dict[str, Any]:
    return {
        "handlers": {number: _name(signal.getsignal(number)) for number in signal.valid_signals()},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "timers": [signal.getitimer(kind) for kind in (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
        "descriptor for signals": signal.set_wakeup_fd(-1),
        "folder": _node("."), "root": sorted(map(str, Path("/").iterdir())), "umask": os.umask(0o22),
        "streams": [[_node(number), fcntl.fcntl(number, fcntl.F_GETFL)] for number in range(3)],
        "limits": [resource.getrlimit(kind) for kind in (
            resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_STACK)],
        "priority": os.getpriority(os.PRIO_PROCESS, 0), "its CPUs": len(os.sched_getaffinity(0)),
        "scheduled": os.sched_getscheduler(0),
        "killer": _read("/proc/self/oom_score_adj"), "leads its group": os.getpgrp() == os.getpid(),
        "ids": [*os.getresuid(), *os.getresgid(), *os.getgroups()],
        "large": int(_read("/proc/self/statm").split()[1]) * resource.getpagesize() > 300 * 1024 * 1024,
        "many descriptors": len(list(Path("/proc/self/fd").iterdir())) > 80,
        "descriptors": all(_is_open(number) for number in range(3, min(8, len(list(Path("/proc/self/fd").iterdir()))))),
        "may listen": _may(listening), "may lock": _may(locking),
    }


def _of_python() -> dict[str, Any]:
    return {
        "environment": sorted(os.environ.items()).__repr__().__len__(), "LEFT": _getenv("LEFT"),
        "zone": [time.tzname, time.timezone, time.altzone, time.localtime(0).tm_hour],
        "locale": locale.setlocale(locale.LC_ALL), "timeout": socket.getdefaulttimeout(),
        "stdout": [type(sys.stdout).__name__, sys.stdout.encoding, sys.stdout.closed],
        "path": sys.path, "argv": len(sys.argv), "sys": len(vars(sys)), "excepthook": _name(sys.excepthook),
        "importers": len(sys.meta_path), "tracing": [_name(sys.gettrace()), _name(sys.getprofile())],
        "recursion": sys.getrecursionlimit(), "switch": sys.getswitchinterval(),
        "collector": [gc.isenabled(), gc.get_threshold(), len(gc.callbacks), tracemalloc.is_tracing()],
        "filters": [len(warnings.filters), repr(warnings.filters[0])],
        "threads": [threading.active_count(), _thread._count()],
        "builtins": len(vars(builtins)), "print": _name(print), "modules": "json" in sys.modules,
        "names": [_name(thing) for thing in (
            time.time, os.getcwd, os.path.exists, socket.socket, json.dumps, subprocess.Popen, random.random,
            ssl._create_default_https_context, sys.modules["json"].dumps)],
    }


def _of_libraries() -> dict[str, Any]:
    left = logging.getLogger("left.behind")
    return {
        "root logger": [logging.root.level, len(logging.root.handlers), logging.root.manager.disable],
        "logger": [left.level, len(left.handlers), logging.getLogger("sqlalchemy").disabled],
        "decimal": decimal.getcontext().prec, "variable": variable.get(), "csv": csv.field_size_limit(),
        "loop": _loop(), "start method": multiprocessing.get_start_method(allow_none=True),
        "tasks": "registered within a task" in tasks.names(),
    }


def _name(thing: Any) -> str:
    return str(getattr(thing, "__qualname__", thing))


def _node(file: int | str) -> list[int]:
    found = os.fstat(file) if isinstance(file, int) else Path(file).stat()
    return [found.st_dev, found.st_ino]


def _read(path: str) -> str:
    return Path(path).read_text()


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _getenv(name: str) -> str | None:
    _libc.getenv.restype = ctypes.c_char_p
    value = _libc.getenv(name.encode())
    return None if value is None else str(value)


def _may(something: Callable[[], None]) -> bool:
    try:
        something()
    except OSError:
        return False
    held_for_good.pop().close()
    return True


def _loop() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return f"closed: {asyncio.get_event_loop().is_closed()}"
        except RuntimeError as error:
            return str(error)
