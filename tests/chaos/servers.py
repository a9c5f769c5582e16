"""The servers under the stack: Redis and a database, in a separate directory, that can be stopped and started."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import psutil
import psycopg
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from jobsched.base.processes import die_with_parent
from jobsched.host import unloadable
from jobsched.host.embedded import free_port
from tests import clocks
from tests.clocks import Clock
from tests.servers import postgres_binary, redis_binary, unprivileged
from tests.support import eventually

_STOPS = {signal.SIGINT: "stopped (fast)", signal.SIGQUIT: "stopped (immediate)"}


class RedisServer:
    """A Redis that keeps its data in an append-only file, as the embedded one does. Needs the main thread.

    With a ``clock`` it goes by that one.
    """

    def __init__(self, directory: Path, clock: Clock | None = None) -> None:
        directory.mkdir()
        self.directory = directory
        self.clock = clock
        self.port = free_port()
        self.socket = directory / "redis.sock"
        self.url = f"unix://{self.socket}?db=0"
        self.client = Redis.from_url(self.url, socket_timeout=5, retry=Retry(NoBackoff(), 0))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when it answers. What it can not load is set aside, as for an embedded one."""
        if not self._came_up():
            unloadable.set_aside(self.directory)
            assert self._came_up(), f"Redis does not start: see {self.directory}/log"

    def _came_up(self) -> bool:
        """Start it; whether it answers, rather than ends because it can not load what it wrote."""
        binary = clocks.binary() if self.clock else redis_binary()
        self._process = _spawn([
            binary, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket),
            "--dir", str(self.directory), "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
            "--maxmemory-policy", "noeviction", "--logfile", str(self.directory / "log"),
            "--repl-diskless-sync-delay", "0",
        ], environment=self.clock.environment if self.clock else {})
        return eventually(lambda: "answers" if self.answers() else self._process and self._process.poll(),
                          60.0) == "answers"

    def answers(self) -> bool:
        with suppress(RedisError):
            return bool(self.client.ping())
        return False

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def follow(self, master: RedisServer | None) -> None:
        """Become a replica of ``master``, with its data; of None: a master again. Returns when it is."""
        if master is None:
            self.client.replicaof("NO", "ONE")
        else:
            self.client.replicaof("127.0.0.1", str(master.port))
            eventually(self.is_in_step, 20.0)

    def is_in_step(self) -> bool:
        """Whether it has the data of the one that it follows, and hears from it."""
        with suppress(RedisError):
            return bool(self.client.info("replication").get("master_link_status") == "up")
        return False

    def set(self, **settings: Any) -> None:
        """Change settings of the running server."""
        for name, value in settings.items():
            self.client.config_set(name, value)

    def memory(self) -> dict[str, Any]:
        """What it says of its memory, in bytes."""
        return dict(self.client.info("memory"))

    def remove(self) -> None:
        """End it, and leave nothing of it."""
        self.client.close()
        self.kill()
        shutil.rmtree(self.directory)

    def lose_data(self) -> None:
        """Delete what a stopped server has written."""
        shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)


class Database(Protocol):
    """A database that can be made unavailable. ``direct_url`` leads past every fault."""

    name: str
    socket: Path | None
    direct_url: str

    def url(self, port: int) -> str:
        """How the stack reaches it, through a proxy's port where there is one."""
    def begin_outage(self, rng: random.Random) -> str | None:
        """Make it unavailable; returns how, None when that did not succeed."""
    def end_outage(self) -> None:
        """Make it available again; may return before it is."""
    def connections(self, processes: Iterable[psutil.Process]) -> int:
        """How many connections these processes have to it."""


class SqliteFile:
    """A file; its outage is a writer that does not end."""

    name = "sqlite"
    socket = None

    def __init__(self, directory: Path) -> None:
        self._path = directory / "jobsched.db"
        self._writer: sqlite3.Connection | None = None
        self.direct_url = f"sqlite:///{self._path}"

    def url(self, port: int) -> str:
        return self.direct_url

    def begin_outage(self, rng: random.Random) -> str | None:
        writer = sqlite3.connect(self._path, timeout=2, isolation_level=None)
        try:
            writer.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            writer.close()
            return None
        self._writer = writer
        return "database write-locked"

    def end_outage(self) -> None:
        if self._writer:
            self._writer.rollback()
            self._writer.close()
            self._writer = None

    def connections(self, processes: Iterable[psutil.Process]) -> int:
        path = str(self._path)
        return sum(_open_file(link) == path for process in processes
                   for link in Path(f"/proc/{process.pid}/fd").glob("*"))


class PostgresCluster:
    """A cluster that is stopped and started. It commits for certain: a stop loses nothing that was answered."""

    name = "postgres"

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._who = unprivileged(directory)
        self._process: subprocess.Popen[bytes] | None = None
        self.socket: Path | None = directory / ".s.PGSQL.5432"
        self.direct_url = f"postgresql+psycopg://owner@/postgres?host={quote(str(directory), safe='')}"
        command = [postgres_binary("initdb"), "-D", str(directory / "data"), "-U", "owner", "-A", "trust",
                   "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, **self._who)

    def start(self) -> None:
        """Start it; returns when it answers."""
        self.end_outage()
        eventually(self._answers, 60.0)
        with self.owner() as connection:  # the stack is no superuser: a few connections are not for it
            connection.execute("CREATE ROLE jobsched LOGIN")
            connection.execute("GRANT ALL ON SCHEMA public TO jobsched")
            connection.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO jobsched")

    def owner(self) -> psycopg.Connection[Any]:
        """A session past every fault, which commits at once. Raises psycopg.OperationalError."""
        return psycopg.connect(self._direct, options="-c default_transaction_read_only=off -c statement_timeout=0",
                               autocommit=True)

    def customer(self) -> psycopg.Connection[Any]:
        """A session like those of the stack. Raises psycopg.OperationalError."""
        return psycopg.connect(self._direct, user="jobsched", autocommit=True)

    @property
    def _direct(self) -> str:
        return self.direct_url.replace("+psycopg", "")

    def url(self, port: int) -> str:
        return f"postgresql://jobsched@127.0.0.1:{port}/postgres"

    def begin_outage(self, rng: random.Random) -> str | None:
        return self._stop(rng.choice([signal.SIGINT, signal.SIGQUIT]))

    def end_outage(self) -> None:
        self._process = _spawn(
            [postgres_binary("postgres"), "-D", str(self._directory / "data"), "-k", str(self._directory),
             "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=100"],
            log=self._directory / "log", **self._who)

    def stop(self) -> None:
        self._stop(signal.SIGQUIT)

    def connections(self, processes: Iterable[psutil.Process]) -> int:
        with self.owner() as connection:
            row = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
            return int((row.fetchone() or (1,))[0]) - 1

    def _stop(self, how: signal.Signals) -> str | None:
        if self._process is None:
            return None
        self._process.send_signal(how)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
        self._process = None
        return f"database {_STOPS[how]}"

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            self.owner().close()
            return True
        return False


@contextmanager
def running_redis(directory: Path, clock: Clock | None = None) -> Iterator[RedisServer]:
    """A Redis for as long as the block lasts."""
    server = RedisServer(directory, clock)
    try:
        server.start()
        yield server
    finally:
        server.client.close()
        server.kill()


@contextmanager
def running_database(name: str, directory: Path) -> Iterator[Database]:
    """The database ``sqlite`` or ``postgres`` for as long as the block lasts. Raises ServerMissing."""
    if name == "sqlite":
        file = SqliteFile(directory)
        try:
            yield file
        finally:
            file.end_outage()
        return
    cluster = PostgresCluster(directory / "pg")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _open_file(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _spawn(argv: list[str], *, log: Path | None = None, environment: Mapping[str, str] = {},
           **who: Any) -> subprocess.Popen[bytes]:
    """Start a server that ends with this process, however that ends."""
    parent = os.getpid()
    with (log or Path(os.devnull)).open("ab") as output:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment},
            start_new_session=True, preexec_fn=lambda: die_with_parent(parent), **who)
