"""The stack under test: `jobsched up` with two dispatchers, and which of its processes does what."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, Any

import psutil

from jobsched.base.processes import die_with_parent
from jobsched.config import without_settings
from jobsched.host.embedded import free_port
from tests.chaos.tasks import NOTES
from tests.support import eventually

REPOSITORY = Path(__file__).parents[2]
_HERE = shlex.quote(str(REPOSITORY))
PROCFILE = f"""\
web: gunicorn --config {_HERE}/gunicorn.conf.py --chdir {_HERE} app:app
dispatcher-1: python -m jobsched dispatcher
dispatcher-2: python -m jobsched dispatcher
worker: python {_HERE}/worker.py
scheduler: python -m jobsched scheduler
"""
#: How long the stack may take to end on SIGTERM, in seconds.
STOP_S = 15.0


@dataclass(frozen=True)
class Member:
    """One process of the stack, and its part in it."""

    role: str
    process: psutil.Process

    @property
    def pid(self) -> int:
        return int(self.process.pid)


class Stack:
    """A running process tree whose members can be named."""

    def __init__(self, process: subprocess.Popen[bytes], name_roles: Callable[[psutil.Process], list[Member]]) -> None:
        self.process = process
        self._root = psutil.Process(process.pid)
        self._name_roles = name_roles

    def members(self) -> list[Member]:
        """All living processes of the stack whose role is known."""
        try:
            return self._name_roles(self._root)
        except psutil.NoSuchProcess:
            return []

    def stop(self) -> list[str]:
        """End it by SIGTERM; returns what went wrong with that."""
        members = [member.process for member in self.members()]
        began = time.monotonic()
        self.process.terminate()
        faults = []
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            faults.append(f"the stack did not end within {STOP_S:g} s of SIGTERM")
            self.process.kill()
            self.process.wait()
        left = [process for process in members if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
        if left and not faults:
            faults.append(f"the stack ended after {time.monotonic() - began:.1f} s and left {left}")
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        return faults


@contextmanager
def running(directory: Path, database_url: str, redis_url: str) -> Iterator[tuple[Stack, int]]:
    """The whole stack for as long as the block lasts, and the port at which it serves."""
    port, log = free_port(), directory / "log"
    home = directory / "stack"
    home.mkdir()
    (home / "Procfile").write_text(PROCFILE)
    env = environment({
        "JOBSCHED_HOME": str(home), "DATABASE_URL": database_url, "REDIS_URL": redis_url, "PORT": str(port),
        "JOBSCHED_TASKS": "tests.chaos.tasks", "JOBSCHED_WORKERS": "4", NOTES: str(directory / "notes"),
    })
    with tree([sys.executable, "-m", "jobsched", "up"], home, env, log, _roles) as stack:
        eventually(lambda: stack.process.poll() is not None or answers(port), 90.0)
        if stack.process.poll() is not None:
            raise RuntimeError(f"the stack did not start: see {log}")
        eventually(lambda: len(stack.members()) >= 11, 60.0)
        yield stack, port


@contextmanager
def tree(argv: list[str], cwd: Path, env: Mapping[str, str], log: Path,
         name_roles: Callable[[psutil.Process], list[Member]]) -> Iterator[Stack]:
    """A program, with all processes below it, for as long as the block lasts; what it says goes to ``log``, timed."""
    parent = os.getpid()
    process = subprocess.Popen(argv, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True,
                               preexec_fn=lambda: die_with_parent(parent))
    assert process.stdout is not None
    writer = Thread(target=_timed, args=(process.stdout, log), daemon=True)
    writer.start()
    stack = Stack(process, name_roles)
    try:
        yield stack
    finally:
        if process.poll() is None:
            stack.stop()
        writer.join(5)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours without its settings, so that nothing is touched that is not of this run."""
    kept = without_settings(os.environ)
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    return {**kept, "PATH": path, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", **settings}


def answers(port: int) -> bool:
    """Whether the web is there."""
    try:
        return call(port, "GET", "/healthz", timeout_s=2.0)[0] == http.client.OK
    except (OSError, http.client.HTTPException):
        return False


def call(port: int, method: str, path: str, body: object = None, *, key: str | None = None,
         timeout_s: float = 10.0) -> tuple[int, Any]:
    """One request: the status and the JSON of its answer. Raises OSError, HTTPException, ValueError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def _roles(root: psutil.Process) -> list[Member]:
    """Who is who: by command line, and among the workers, which all have the same, by who forked whom."""
    processes = root.children(recursive=True)
    lines = {process.pid: _command(process) for process in processes}
    roles: dict[int, str] = {root.pid: "up"}
    members = []
    for process in _parents_first(processes, roles):
        with suppress(psutil.Error):
            role = _role(lines[process.pid], roles.get(process.ppid(), ""))
            if role:
                roles[process.pid] = role
                members.append(Member(role, process))
    return members


def _parents_first(processes: Collection[psutil.Process], roles: Mapping[int, str]) -> list[psutil.Process]:
    """Children come after their parents, so that a parent's role is known."""
    by_parent: dict[int, list[psutil.Process]] = {}
    for process in processes:
        with suppress(psutil.Error):
            by_parent.setdefault(process.ppid(), []).append(process)
    ordered: list[psutil.Process] = []
    level = list(roles)
    while level:
        children = [child for pid in level for child in by_parent.get(pid, ())]
        ordered += children
        level = [child.pid for child in children]
    return ordered


def _role(command: str, parent: str) -> str | None:
    if parent == "up":
        names = {"gunicorn ": "web", "jobsched dispatcher": "dispatcher", "worker.py": "worker.py",
                 "jobsched scheduler": "scheduler"}
        return next((role for part, role in names.items() if part in command), None)
    below = {"web": "web worker", "worker.py": "RQ worker", "RQ worker": "horse"}
    return below.get(parent)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _timed(source: IO[bytes], log: Path) -> None:
    with log.open("ab") as file:
        for line in source:
            file.write(f"{time.time():.3f} ".encode() + line)
            file.flush()
