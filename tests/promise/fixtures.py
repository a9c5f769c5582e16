"""A stage on each database, for the conftest of a suite to import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from jobsched.config import load
from tests.promise.stage import Stage
from tests.servers import PostgresServer, RedisServer

#: Quick leases and sweeps, so that recovery takes a moment.
ENVIRONMENT = {"JOBSCHED_LEASE": "0.5", "JOBSCHED_REPAIR_EVERY": "0.2", "JOBSCHED_TASKS": "tests.failpoints.tasks"}


@pytest.fixture(scope="module")
def sqlite_stage(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("stage")
    yield from _stage(f"sqlite:///{home / 'jobsched.db'}", redis_server, home)


@pytest.fixture(scope="module")
def postgresql_stage(
    redis_server: RedisServer, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    name = f"stage_{uuid4().hex}"
    postgres.administer(f"CREATE DATABASE {name}")
    yield from _stage(postgres.url(name), redis_server, tmp_path_factory.mktemp("stage"))
    postgres.administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def stage(request: pytest.FixtureRequest) -> Stage:
    """An empty stage, on SQLite and on PostgreSQL."""
    ours: Stage = request.getfixturevalue(f"{request.param}_stage")
    return ours


def _stage(database_url: str, redis_server: RedisServer, home: Path) -> Iterator[Stage]:
    stage = Stage.build(load({
        **ENVIRONMENT, "JOBSCHED_HOME": str(home), "DATABASE_URL": database_url, "REDIS_URL": redis_server.url,
        "SECRET_KEY": "only-for-tests",
    }))
    yield stage
    stage.close()
