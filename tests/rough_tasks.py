"""Tasks that fork, start processes, die, and leave things behind."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jobsched import Run, task
from jobsched.domain import Status
from jobsched.ledger.moves import Outcome
from jobsched.work.notes import Notes
from jobsched.work.outcome_json import pack

# Processes that a task starts


@task
def forks(payload: dict[str, Any], run: Run) -> Any:
    """Fork as ``how`` says, let the child end as ``child`` says, and return what the parent should."""
    read, write = os.pipe()
    pid = os.forkpty()[0] if payload.get("how") == "forkpty" else os.fork()
    if pid:
        os.close(write)
        if payload.get("wait", True):
            while os.read(read, 1):
                pass
            os.waitpid(pid, 0)
        return run.key
    if payload.get("how") == "double" and os.fork():
        os._exit(0)
    return _CHILDREN[payload["child"]]()


def _raise(error: BaseException) -> None:
    raise error


_CHILDREN: dict[str, Callable[[], Any]] = {
    "exit": lambda: sys.exit(0), "exit with text": lambda: sys.exit("a child says goodbye"),
    "return": lambda: "the child's", "raise": lambda: _raise(ValueError("the child's")),
    "interrupt": lambda: _raise(KeyboardInterrupt()), "_exit": lambda: os._exit(3),
    "exec": lambda: os.execv("/bin/true", ["true"]), "die": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "unserialisable": lambda: {1, 2},
}


class _Forking(dict):  # type: ignore[type-arg]
    """A dict that forks when it is read, or let go of, and in the child as well goes on."""

    def __init__(self, where: str) -> None:
        super().__init__(a=1)
        self.where = where

    def items(self) -> Any:
        if self.where == "items" and not os.fork():
            self.where = "child"
        return super().items()

    def __del__(self) -> None:
        if self.where == "__del__":
            os.fork()


class _ForkingError(Exception):
    def __str__(self) -> str:
        os.fork()
        return "it forks"


@task
def forks_late(payload: dict[str, Any]) -> Any:
    """Leave what forks when it is looked at."""
    if payload["where"] == "thread":
        thread = threading.Thread(target=os.fork)
        thread.start()
        thread.join()
        return {"a": 1}
    if payload["where"] == "__str__":
        raise _ForkingError
    return _Forking(payload["where"])


@task
def multiprocesses(payload: dict[str, Any], run: Run) -> Any:
    """Have a process of multiprocessing, started as ``method`` says, double a number."""
    context = multiprocessing.get_context(payload["method"])
    queue = context.SimpleQueue()
    process = context.Process(target=_double, args=(queue, 21))
    process.start()
    doubled = queue.get()
    process.join()
    return doubled


def _double(queue: Any, number: int) -> None:
    queue.put(2 * number)


@task
def starts_child(payload: dict[str, Any], run: Run) -> str:
    """Start a process that writes its id into the file ``pids``, ``how``: waited for, left alone, as a daemon..."""
    say = f"echo $$ >> {payload['pids']}; exec sleep 47"
    how = payload.get("how", "wait")
    if how == "daemon":  # forked twice, in a session of its own
        say = f"(setsid sh -c {say!r} </dev/null >/dev/null 2>&1 &) "
    if how == "again and again":
        say = f"while :; do sh -c {say!r} & sleep 0.005; done"
    deaf = "trap '' TERM INT HUP ALRM USR1; " if how == "deaf" else ""
    child = subprocess.Popen(["sh", "-c", deaf + say], start_new_session=how == "session")
    while not (Path(payload["pids"]).exists() and Path(payload["pids"]).read_text().endswith("\n")):
        time.sleep(0.002)
    if payload.get("then") == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if payload.get("then") == "raise":
        raise RuntimeError("after a start")
    if how in ("wait", "deaf") or payload.get("then") == "outlast":
        child.wait()
        time.sleep(60)
    return run.key


@task(timeout_s=0.2)
def starts_child_briefly(payload: dict[str, Any], run: Run) -> str:
    return starts_child(payload, run)


@task(timeout_s=0.2)
def starts_child_and_never_stops(payload: dict[str, Any], run: Run) -> None:
    while True:
        try:
            starts_child(payload, run)
        except BaseException:
            continue


@task
def living(payload: dict[str, Any]) -> list[int]:
    """Those whose ids are in the file ``pids`` and who still live, also as zombies."""
    return [pid for pid in map(int, Path(payload["pids"]).read_text().split()) if Path(f"/proc/{pid}").exists()]


@task
def leaves_zombie(payload: dict[str, Any]) -> int:
    """Start a process that ends, and do not wait for it; return how many of ours have ended unheard before."""
    zombies = 0
    while _zombie():
        zombies += 1
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    return zombies


def _zombie() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


# Ways to end the process


@task
def dies(payload: dict[str, Any]) -> None:
    """End the process as ``how`` says."""
    faulthandler.disable()  # pytest's would say a lot
    _DEATHS[payload["how"]]()


def _daemonise() -> None:
    if os.fork():
        os._exit(0)
    time.sleep(60)


_DEATHS: dict[str, Callable[[], Any]] = {
    "segv": lambda: ctypes.string_at(0), "_exit 0": lambda: os._exit(0), "_exit 3": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL), "abort": os.abort,
    "term": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "real time": lambda: os.kill(os.getpid(), signal.SIGRTMIN + 3), "daemonise": _daemonise,
    "in a thread": lambda: (threading.Thread(target=os._exit, args=(4,)).start(), time.sleep(60)),
    "exec": lambda: os.execv("/bin/sh", ["sh", "-c", "exit 5"]),
    "close everything": lambda: (os.closerange(0, 4096), os._exit(6)),
}


@task
def who(payload: dict[str, Any]) -> int:
    """The process id of who runs it."""
    return os.getpid()


class _Deadly(dict):  # type: ignore[type-arg]
    """A dict that ends the process when it is read, or let go of."""

    def __init__(self, where: str, how: str) -> None:
        super().__init__(a=1)
        self.where, self.how = where, how

    def items(self) -> Any:
        if self.where == "items":
            dies({"how": self.how})
        return super().items()

    def __del__(self) -> None:
        if self.where == "__del__":
            dies({"how": self.how})


class _DeadlyError(Exception):
    def __init__(self, how: str) -> None:
        super().__init__("its own words")
        self.how = how

    def __del__(self) -> None:
        dies({"how": self.how})


@task
def dies_late(payload: dict[str, Any]) -> Any:
    """Return or raise what ends the process."""
    if payload["where"] == "error":
        raise _DeadlyError(payload["how"])
    return _Deadly(payload["where"], payload["how"])


@task
def tells_itself_that_it_is_lost(payload: dict[str, Any]) -> str:
    """Send itself the signal by which its worker would tell it; with ``late``, to come when it has ended."""
    if payload["late"]:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    os.kill(os.getpid(), signal.SIGUSR1)
    return "its own"


# Ways to spoil what the process notes


@task
def scribbles(payload: dict[str, Any], run: Run) -> str:
    """Write into the memory that the process shares with its worker, at the first start."""
    Path(f"{payload['book']}-{run.key}").open("x").close()  # fails when this start has been made before
    if run.attempt == 1:
        gc.unfreeze()  # it was there before the first job
        found = [one for one in gc.get_objects() if type(one) is Notes]
        notes = max(found, key=lambda one: one.head.begun_at)
        SCRIBBLES[payload["what"]](notes, run)
    return "the scribbler's"


def _forge(notes: Notes, job: int, attempt: int) -> None:
    now = datetime.now(timezone.utc)
    notes.note(pack(Outcome(job, attempt, Status.COMPLETED, now, now, 0.0, "forged")))
    notes.leave()


def _set(**fields: float) -> Callable[[Notes, Run], None]:
    def scribble(notes: Notes, run: Run) -> None:
        for name, value in fields.items():
            setattr(notes.head, name, value)
        time.sleep(0.3)
    return scribble


def _fill(start: int, byte: bytes) -> Callable[[Notes, Run], None]:
    def scribble(notes: Notes, run: Run) -> None:
        notes.memory[start:] = byte * (len(notes.memory) - start)
        time.sleep(0.3)
    return scribble


SCRIBBLES: dict[str, Callable[[Notes, Run], None]] = {
    "the next job's end": lambda notes, run: _forge(notes, run.job + 1, 1),
    "the one before's end": lambda notes, run: _forge(notes, run.job - 1, 1),
    "another attempt's end": lambda notes, run: _forge(notes, run.job, 2),
    "zeros": _fill(0, b"\0"), "ones": _fill(0, b"\xff"), "text": _fill(0, b"["),
    "ones behind the head": _fill(48, b"\xff"),
    "many begun": _set(begun=1_000), "many ended": _set(begun=3, noted=3, clean=3), "none begun": _set(begun=0),
    "a far end": _set(end=2**31), "an end before the first": _set(end=0), "remains": _set(remains=2**32 - 1),
    "no bound": _set(kill_at=float("inf")), "a bound that is no number": _set(kill_at=float("nan")),
}
