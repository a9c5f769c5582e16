"""Fixtures for all tests: real servers, started once for the run, and clients of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import fakeredis
import pytest
from flask import Flask
from redis import Redis

from jobsched.board import Board
from jobsched.config import Settings, load
from jobsched.ledger.database import ledger_app
from jobsched.ledger.models import db
from jobsched.queues import seal
from tests.servers import PostgresServer, RedisServer, ServerMissing, running_pgbouncer, running_postgres, running_redis
from tests.support import create_tables, install

T = TypeVar("T")

#: What the test's own process seals with; that of ``settings``, so that the processes which a test starts agree.
SECRET_KEY = "only-for-tests"
os.environ["SECRET_KEY"] = SECRET_KEY


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """The environment stays as it is for the next test: who runs tasks removes what they should not get."""
    before = dict(os.environ)
    yield
    if dict(os.environ) != before:
        os.environ.clear()
        os.environ.update(before)
        seal.ours.cache_clear()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis of our own for the whole run."""
    with _or_skip(running_redis) as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    """A client of our own Redis, which is empty."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL cluster of our own for the whole run."""
    with _or_skip(running_postgres) as server:
        yield server


@pytest.fixture
def pgbouncer(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A PgBouncer in front of the cluster, in transaction mode."""
    with _or_skip(lambda: running_pgbouncer(postgres)) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, on SQLite and on PostgreSQL.

    A test that needs one of them only: ``@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)``.
    """
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'jobsched.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"test_{uuid4().hex}"
    server.administer(f'CREATE DATABASE "{name}"')
    yield server.url(name)
    server.administer(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def settings(tmp_path: Path, database_url: str, redis_server: RedisServer) -> Settings:
    """The settings of an installation that sets nothing but where things are."""
    return load({
        "JOBSCHED_HOME": str(tmp_path), "DATABASE_URL": database_url, "REDIS_URL": redis_server.url,
        "SECRET_KEY": SECRET_KEY,
    })


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Flask]:
    """The ledger with its tables, inside its application context."""
    app = ledger_app(settings)
    with app.app_context():
        create_tables()
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture(params=["fake", "real"])
def board_redis(request: pytest.FixtureRequest) -> Iterator[Redis]:
    """An empty Redis for a board: fakeredis, and a real one."""
    if request.param == "real":
        yield request.getfixturevalue("redis")
        return
    with fakeredis.FakeRedis(server=fakeredis.FakeServer()) as client:
        yield client


@pytest.fixture
def board(board_redis: Redis) -> Board:
    """A board that scores by the default policy, on fakeredis and on a real Redis."""
    return install(Board(board_redis), "balanced")


@contextmanager
def _or_skip(start: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
    """What ``start`` starts; where it can not, the test is skipped, or fails when servers are required."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(start())
        except ServerMissing as missing:
            outcome = pytest.fail if os.environ.get("JOBSCHED_REQUIRE_SERVERS") == "1" else pytest.skip
            raise outcome.Exception(str(missing)) from None
        yield server
