"""Tasks that change the state of their process."""

from __future__ import annotations

import _thread as threads
import asyncio
import builtins
import csv
import ctypes
import decimal
import faulthandler
import fcntl
import gc
import json
import locale
import logging
import logging.config
import multiprocessing
import os
import random
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from jobsched import task

variable: ContextVar[str] = ContextVar("variable", default="nothing")
held_for_good: list[Any] = []
_libc = ctypes.CDLL(None)


def _folder(then: Callable[[str], object] = lambda _: None) -> None:
    new = tempfile.mkdtemp(prefix="jobsched-left-")
    os.chdir(new)
    then(new)


def _in_zone(*, told: bool) -> None:
    os.environ["TZ"] = "Asia/Tokyo"
    if told:
        time.tzset()
    time.mktime((2026, 1, 1, 0, 0, 0, 0, 0, 0))  # has C read it


def _short_zone() -> None:
    _in_zone(told=True)
    del os.environ["TZ"]


def _redirected() -> None:
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)


def _not_blocking() -> None:
    for number in (1, 2):
        os.set_blocking(number, False)


def listening() -> None:
    held = socket.socket(socket.AF_UNIX)
    held.bind("\0jobsched-left")
    held.listen()
    held_for_good.append(held)


def locking() -> None:
    held = (Path(tempfile.gettempdir()) / "jobsched-left.lock").open("w")
    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    held_for_good.append(held)


def _logging_handler() -> None:
    logging.getLogger("left.behind").addHandler(logging.NullHandler())
    logging.getLogger("left.behind").setLevel(logging.ERROR)


def _thread() -> None:
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


def _nameless_thread() -> None:
    begun = threads.allocate_lock()
    begun.acquire()
    threads.start_new_thread(lambda: (begun.release(), time.sleep(600)), ())
    begun.acquire()


def _timer() -> None:
    held = threading.Timer(600, print)
    held.daemon = True
    held.start()


def _limited(kind: int, *, hard: bool, soft: int = 1000) -> None:
    _, most = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft, soft if hard else most))


def _patched(module: Any, name: str, new: Any = lambda *_, **__: "patched") -> Callable[[], None]:
    return lambda: setattr(module, name, new)


def _blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR2})
    os.kill(os.getpid(), signal.SIGALRM)


def _large() -> None:
    held_for_good.append(bytearray(400 * 1024 * 1024))


def _registered() -> None:
    @task(name="registered within a task")
    def registered(payload: dict[str, Any]) -> None: ...


def _many_descriptors() -> None:
    held_for_good.extend(socket.socketpair() for _ in range(60))


def _handle(number: int, handler: Any) -> Callable[[], object]:
    return lambda: signal.signal(number, handler)


def _raise(*_: Any) -> None:
    raise RuntimeError("the handler of a job that has ended")


def _set_context() -> None:
    decimal.getcontext().prec = 3
    variable.set("something")


def _filter_warnings() -> None:
    warnings.simplefilter("ignore")
    warnings.catch_warnings().__enter__()


def _watchdog() -> None:
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(0.3, exit=True, file=nowhere)


def _of_mp() -> None:
    multiprocessing.set_start_method("spawn", force=True)


def _pipe() -> int:
    read, write = os.pipe()
    os.set_blocking(write, False)
    held_for_good.append(read)
    return write


class _Importer:
    @staticmethod
    def find_spec(*_: Any) -> None:
        return None


#: What goes back in the process in which it was left, by what it is.
GO_BACK: dict[str, Callable[[], object]] = {
    "a handler of SIGALRM": _handle(signal.SIGALRM, _raise),
    "SIGALRM ignored": _handle(signal.SIGALRM, signal.SIG_IGN),
    "SIGTERM ignored": _handle(signal.SIGTERM, signal.SIG_IGN),
    "SIGCHLD ignored": _handle(signal.SIGCHLD, signal.SIG_IGN),
    "SIGPIPE deadly": _handle(signal.SIGPIPE, signal.SIG_DFL),
    "a handler of SIGUSR2": _handle(signal.SIGUSR2, _raise),
    "a handler of a real time signal": _handle(signal.SIGRTMIN + 3, _raise),
    "signals blocked": _blocked,
    "a timer of CPU time": lambda: (signal.signal(signal.SIGPROF, _raise), signal.setitimer(signal.ITIMER_PROF, 0.02)),
    "an alarm": lambda: (signal.signal(signal.SIGALRM, _raise), signal.alarm(1)),
    "a descriptor for signals": lambda: signal.set_wakeup_fd(_pipe(), warn_on_full_buffer=False),
    "another folder": _folder,
    "a folder that is gone": lambda: _folder(shutil.rmtree),
    "another umask": lambda: os.umask(0o777),
    "a variable": lambda: os.environ.update(LEFT="1", HOME="/left"),
    "no variable": lambda: os.environ.clear(),
    "a variable of C's": lambda: os.putenv("LEFT", "1"),
    "a time zone": lambda: _in_zone(told=True),
    "a time zone that Python was not told": lambda: _in_zone(told=False),
    "a time zone without its variable": _short_zone,
    "a locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "a default timeout": lambda: socket.setdefaulttimeout(0.001),
    "descriptor 1 closed": lambda: os.close(1),
    "descriptors redirected": _redirected,
    "descriptors that do not block": _not_blocking,
    "another sys.stdout": lambda: setattr(sys, "stdout", None),
    "sys.stdout in another encoding": lambda: sys.stdout.reconfigure(encoding="latin-1"),  # type: ignore[union-attr]
    "another sys.path": lambda: sys.path.insert(0, "/left"),
    "an empty sys.path": lambda: setattr(sys, "path", []),
    "other arguments": lambda: sys.argv.append("left"),
    "an excepthook": lambda: setattr(sys, "excepthook", _raise),
    "a name of sys": lambda: setattr(sys, "tracebacklimit", 0),
    "an importer": lambda: sys.meta_path.insert(0, _Importer),
    "a trace function": lambda: sys.settrace(lambda *_: None),
    "a profile function": lambda: sys.setprofile(lambda *_: None),
    "a recursion limit": lambda: sys.setrecursionlimit(150),
    "a switch interval": lambda: sys.setswitchinterval(1),
    "no garbage collector": gc.disable,
    "other thresholds": lambda: gc.set_threshold(1, 1, 1),
    "a callback of the collector": lambda: gc.callbacks.append(lambda *_: None),
    "tracemalloc": tracemalloc.start,
    "a watchdog": _watchdog,
    "filters of warnings": _filter_warnings,
    "a level of logging": lambda: logging.getLogger().setLevel(1),
    "logging disabled": lambda: logging.disable(logging.CRITICAL),
    "no handlers of logging": lambda: logging.getLogger().handlers.clear(),
    "a handler of logging": lambda: logging.getLogger().addHandler(logging.NullHandler()),
    "a handler of a new logger": _logging_handler,
    "a decimal context and a variable": _set_context,
    "csv's limit": lambda: csv.field_size_limit(7),
    "a name of builtins": _patched(builtins, "_"),
    "another print": _patched(builtins, "print"),
    "a soft limit": lambda: _limited(resource.RLIMIT_NOFILE, hard=False),
    "a smaller stack": lambda: _limited(resource.RLIMIT_STACK, hard=False, soft=4_000_000),
    "another way to be scheduled": lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)),
    "its CPUs": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    "an event loop that is closed": lambda: asyncio.run(asyncio.sleep(0)),
    "an event loop": lambda: asyncio.set_event_loop(asyncio.new_event_loop()),
    "a start method": _of_mp,
    "a task": _registered,
}

#: What only a new process is without.
NEED_A_NEW_PROCESS: dict[str, Callable[[], object]] = {
    "a thread": _thread,
    "a timer's thread": _timer,
    "a thread without a name": _nameless_thread,
    "sys.stdout closed": lambda: sys.stdout.close(),
    "sys.stdout detached": lambda: sys.stdout.detach(),  # type: ignore[union-attr]
    "a hard limit": lambda: _limited(resource.RLIMIT_NPROC, hard=True),
    "much memory": _large,
    "loggers disabled and handlers closed": lambda: logging.config.dictConfig({"version": 1}),
    "another time.time": _patched(time, "time", lambda: 0.0),
    "another os.getcwd": _patched(os, "getcwd"),
    "another os.path.exists": _patched(os.path, "exists"),
    "another socket.socket": _patched(socket, "socket", type("socket", (socket.socket,), {})),
    "another json.dumps": _patched(json, "dumps"),
    "another subprocess.Popen": _patched(subprocess, "Popen"),
    "ssl that believes all": _patched(ssl, "_create_default_https_context", ssl._create_unverified_context),
    "another random.random": _patched(random, "random"),
    "no os.getcwd": lambda: delattr(os, "getcwd"),
    "another module": lambda: sys.modules.__setitem__("json", sys.modules["time"]),
    "modules gone": lambda: (sys.modules.pop("json"), sys.modules.pop("decimal")),
    "something listening": listening,
    "a locked file": locking,
    "many descriptors": _many_descriptors,
    "descriptors closed": lambda: os.closerange(3, 1024),
    "another process group": lambda: os.setpgid(0, os.getpgid(os.getppid())),
}
#: The same, of what only root may do.
ROOT_ONLY: dict[str, Callable[[], object]] = {
    "another user": lambda: os.setresuid(65534, 65534, 65534),
    "another effective user": lambda: os.seteuid(65534),
    "another group": lambda: os.setgroups([65534]),
    "another root": lambda: (os.chroot(tempfile.mkdtemp()), os.chdir("/")),
}


@task
def leave_behind(payload: dict[str, Any]) -> int:
    """Leave what the payload names as ``what``; return the process id."""
    {**GO_BACK, **NEED_A_NEW_PROCESS, **ROOT_ONLY}[payload["what"]]()
    return os.getpid()


@task(timeout_s=0.2)
def leave_and_fail(payload: dict[str, Any]) -> None:
    """Leave some things, then raise, or go on beyond the limit."""
    os.umask(0)
    os.environ["LEFT"] = "1"
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "raises" in payload["then"]:
        raise RuntimeError("a job that leaves things")
    time.sleep(60)


@task
def work_on(payload: dict[str, Any]) -> None:
    """Work for ``seconds``, also by the CPU's clock."""
    end = time.monotonic() + payload["seconds"]
    while time.monotonic() < end:
        pass


@task
def which_process(payload: dict[str, Any]) -> int:
    """The process id."""
    return os.getpid()
