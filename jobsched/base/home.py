"""The home directory of the stack: its lock, its secret key, and the addresses of the running stack.

Only the owner may read it, because it holds the secret and passwords: its files are 0600, and a directory that holds
nothing else is 0700.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from jobsched.domain import JobschedError

#: The names of jobsched's files in a home.
_LOCK, _SECRET, _WHEREABOUTS, _REDIS = "lock", "secret_key", "stack.json", "redis"
_DATABASE = ("jobsched.db", "jobsched.db-wal", "jobsched.db-shm")
#: The permissions of all users but the owner, and those of them that allow writing.
_OTHERS, _OTHERS_WRITE = 0o077, 0o022


class CannotUseHome(JobschedError):
    """The home can not be written, or it is not a directory of this user alone."""

    def __init__(self, home: Path, why: str) -> None:
        super().__init__(f"JOBSCHED_HOME={str(home)!r}: {why}")


class HomeInUse(JobschedError):
    """Another stack runs on the same home."""

    def __init__(self, home: Path, pid: str) -> None:
        super().__init__(
            f"another stack (process {pid or 'unknown'}) runs on {home}: stop it first, "
            "or give this one its own JOBSCHED_HOME and PORT"
        )


@dataclass(frozen=True)
class RunningStack:
    """Where a running stack is: the process of ``jobsched up``, the address of the web, and the Redis."""

    pid: int
    url: str
    redis_url: str = field(repr=False)


@contextmanager
def raising_cannot_use(home: Path) -> Iterator[None]:
    """Raise an OSError of the block, which writes files of ``home``, as CannotUseHome."""
    try:
        yield
    except OSError as error:
        what = f"{error.filename}: " if error.filename and Path(os.fsdecode(error.filename)) != home else ""
        raise CannotUseHome(home, f"can not be used: {what}{error.strerror or error}") from error


@contextmanager
def hold(home: Path) -> Iterator[None]:
    """Make ``home``, for this user only, and lock it against other stacks during the block.

    The kernel releases the lock when this process ends, however it ends. Raises HomeInUse and CannotUseHome.
    """
    make(home)
    with raising_cannot_use(home):
        lock = os.fdopen(os.open(home / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+", errors="replace")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HomeInUse(home, lock.read().strip()) from None
        with raising_cannot_use(home):
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        yield


def make(home: Path) -> None:
    """Make ``home`` unless it is there, and close it and jobsched's files in it to other users.

    Raises CannotUseHome when it belongs to another user, or when others may write there and it holds other files too.
    """
    with raising_cannot_use(home):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = home.stat()
        if found.st_uid != os.geteuid():
            raise CannotUseHome(home, f"belongs to the user {found.st_uid}: name a folder of your own")
        if found.st_mode & _OTHERS:
            _close(home)
        for path in _files(home):
            with suppress(OSError):
                if path.lstat().st_mode & _OTHERS and not path.is_symlink():
                    path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~_OTHERS)


def secret_key(home: Path) -> str:
    """The secret key that ``home`` keeps; made by the first call. Only this user may read it. Raises CannotUseHome."""
    return secret(home / _SECRET, home)


def secret(path: Path, home: Path) -> str:
    """The random secret in a file of ``home``; made by the first call. Raises CannotUseHome."""
    with raising_cannot_use(home):
        with suppress(FileNotFoundError):
            if kept := path.read_text(errors="replace").strip():
                return kept
            path.unlink()  # it is empty
        new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        _write(new, secrets.token_hex(32))
        with suppress(FileExistsError):  # another process has just made one
            os.link(new, path)
        new.unlink()
        return path.read_text()


@contextmanager
def announced(home: Path, url: str, redis_url: str) -> Iterator[None]:
    """During the block, let :func:`running` know where the stack of ``home`` is. Raises CannotUseHome."""
    path = home / _WHEREABOUTS
    with raising_cannot_use(home):
        _write(path, json.dumps(asdict(RunningStack(os.getpid(), url, redis_url))))
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def running(home: Path) -> RunningStack | None:
    """The stack that runs on ``home`` now; None when there is none.

    Another user who could write the file could send commands to a Redis of theirs. So it is believed only if it and the
    home belong to this user and nobody else may write to them. Otherwise raises CannotUseHome.
    """
    path = home / _WHEREABOUTS
    with raising_cannot_use(home), suppress(FileNotFoundError, NotADirectoryError):
        for found in (home, path):
            state = found.lstat() if found == path else found.stat()
            if state.st_uid != os.geteuid() or state.st_mode & _OTHERS_WRITE or stat.S_ISLNK(state.st_mode):
                raise CannotUseHome(home, f"{found} is not trusted: it must belong to you, and nobody else may write "
                                          "to it; restart the stack, or set REDIS_URL")
        return _alive(path.read_text(errors="replace"))
    return None


def _alive(text: str) -> RunningStack | None:
    try:
        stack = RunningStack(**json.loads(text))
        ours = psutil.Process(int(stack.pid)).uids().effective == os.geteuid()
    except (ValueError, TypeError, OverflowError, psutil.Error):
        return None
    return stack if ours and isinstance(stack.url, str) and isinstance(stack.redis_url, str) else None


def _close(home: Path) -> None:
    """Close ``home`` to other users, unless it holds files that are not jobsched's: they may be meant for others."""
    ours = {_LOCK, _SECRET, _WHEREABOUTS, _REDIS, *_DATABASE, f"{_SECRET}.new", f"{_WHEREABOUTS}.new"}
    if {path.name for path in home.iterdir()} <= ours:
        home.chmod(0o700)
    if home.stat().st_mode & _OTHERS_WRITE:
        raise CannotUseHome(home, "other users may write there: name a folder of its own, or close it to them with "
                                  f"chmod 700 {shlex.quote(str(home))}")


def _files(home: Path) -> Iterator[Path]:
    yield from (home / name for name in (_LOCK, _SECRET, _WHEREABOUTS, *_DATABASE))
    yield home / _REDIS
    yield from (home / _REDIS).rglob("*")


def _write(path: Path, text: str) -> None:
    """Write ``text`` to a file that only this user may read. Others see the whole text, or the file as it was."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
    new.replace(path)
