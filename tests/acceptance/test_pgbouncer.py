"""The stack behind a PgBouncer in transaction mode, where two transactions of a client may use two sessions."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from redis import Redis
from sqlalchemy import make_url

from jobsched.config import Settings
from jobsched.ledger import schema
from jobsched.ledger.models import db
from jobsched.web.application import create_app
from tests import engine_tasks  # noqa: F401 - the web process needs to know the tasks
from tests.engine import engine, starts, until_completed
from tests.servers import PostgresServer

JOBS, CLIENTS = 120, 6

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def settings(settings: Settings, pgbouncer: PostgresServer, redis: Redis) -> Settings:
    """Settings that lead through the PgBouncer; the migrations went through it as well."""
    bounced = replace(settings, database_url=pgbouncer.url(str(make_url(settings.database_url).database)))
    schema.upgrade(bounced)
    return bounced


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The web application, all of whose connections are closed in the end."""
    app = create_app(settings)
    yield app
    app.extensions["jobsched.redis"].close()
    with app.app_context():
        db.engine.dispose()


def test_each_job_is_started_once_and_nothing_is_said_that_should_not(
    settings: Settings, app: Flask, tmp_path: Path
) -> None:
    book = tmp_path / "book"
    job = {"site": 1, "user": 1, "execution_time": 0.001, "task": "tally", "payload": {"book": str(book)}}

    def submit(_: int) -> list[int]:
        with app.test_client() as client:
            return [client.post("/jobs", json=job).status_code for _ in range(JOBS // CLIENTS)]

    with engine(settings, tmp_path, ("dispatcher", "worker"), JOBSCHED_WORKERS="3") as running:
        client = app.test_client()
        assert client.post("/sites", json={"name": "Acme"}).status_code == 201
        assert client.post("/user-records", json={"name": "Ann", "site": 1}).status_code == 201
        with ThreadPoolExecutor(CLIENTS) as pool:
            answers = [status for some in pool.map(submit, range(CLIENTS)) for status in some]
        assert answers == [201] * JOBS
        with app.app_context():
            until_completed(JOBS)
    assert sorted(starts(book).values()) == [1] * JOBS
    for program in running.values():
        assert "Traceback" not in program.said()
        assert "prepared statement" not in program.said()
