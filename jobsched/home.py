"""What the stack keeps in its home directory, beside Redis and the database: its lock, its secret, its whereabouts."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from jobsched.domain import JobschedError


class HomeInUse(JobschedError):
    """Another stack runs on the same home."""

    def __init__(self, home: Path, pid: str) -> None:
        super().__init__(
            f"another stack (process {pid or 'unknown'}) runs on {home}: stop it first, "
            "or give this one its own JOBSCHED_HOME and PORT"
        )


@dataclass(frozen=True)
class RunningStack:
    """What a running stack says of itself."""

    pid: int
    url: str
    redis_url: str


@contextmanager
def hold(home: Path) -> Iterator[None]:
    """Make ``home``, readable by this user only, and hold it alone during the block.

    The kernel lets go of it with our process, however that ends. Raises HomeInUse.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise HomeInUse(home, lock.read().strip()) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def secret_key(home: Path) -> str:
    """The secret of ``home``, made the first time; only this user may read it."""
    path = home / "secret_key"
    try:
        return path.read_text()
    except FileNotFoundError:
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(secrets.token_hex(32))
        new.rename(path)
        return path.read_text()


@contextmanager
def announced(home: Path, url: str, redis_url: str) -> Iterator[None]:
    """Say during the block where the stack of ``home`` is, for :func:`running`."""
    path = home / "stack.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(RunningStack(os.getpid(), url, redis_url))))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def running(home: Path) -> RunningStack | None:
    """The stack that runs on ``home`` now, None when there is none."""
    try:
        stack = RunningStack(**json.loads((home / "stack.json").read_text()))
    except (OSError, ValueError):
        return None
    return stack if psutil.pid_exists(stack.pid) else None
