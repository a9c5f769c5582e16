"""While Redis is unreachable, every request is accepted; while the database is, the answer is 503."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from redis import Redis

from jobsched.config import Settings
from jobsched.dispatch import repair
from jobsched.intake import controls
from tests.integration.conftest import MakeClient
from tests.integration.requests import BROWSER, ON_SQLITE, add_job, add_user, board_of, created, problem
from tests.support import create_tables

GET = ("/", "/sites", "/sites/1", "/user-records", "/user-records/1", "/jobs", "/jobs/1")


@pytest.fixture
def client_without_redis(make_client: MakeClient, settings: Settings, tmp_path: Path) -> FlaskClient:
    client = make_client(replace(settings, redis_url=f"unix://{tmp_path / 'nobody.sock'}"))
    with client.application.app_context():
        create_tables()
    return client


def test_without_redis_everything_goes_on(client_without_redis: FlaskClient) -> None:
    client = client_without_redis
    user = add_user(client)
    created(client.post("/jobs", json=[{"user": user, "site": 1, "execution_time": 1}] * 100))
    job = add_job(client, user=user, run_at="2090-01-01T00:00:00Z")["links"]
    assert client.patch(job["self"], json={"execution_time": 5}).json["band"] == "10s"
    assert client.post(job["cancel"]).json["status"] == "cancelled"
    assert client.post(f"{job['self']}/retry").json["status"] == "pending"
    assert client.delete(job["self"]).status_code == 204
    for path in GET:
        assert client.get(path).status_code == 200
        assert client.get(path, headers=BROWSER).status_code == 200
    site = client.get("/sites/1").json
    assert (site["points"], site["place"], site["places"]) == (3 + 200 + 1, None, {})
    assert client.delete("/sites/1").status_code == 409


@ON_SQLITE
def test_what_redis_missed_is_placed_when_it_is_back(
    client_without_redis: FlaskClient, make_client: MakeClient, settings: Settings, redis: Redis
) -> None:
    user = add_user(client_without_redis)
    add_job(client_without_redis, user=user)
    client = make_client(settings)
    with client.application.app_context():
        controls.install(board_of(client), settings)
        repair.Sweeper(settings, board_of(client), redis).sweep()
    assert sum(lane.waiting for lane in board_of(client).view.lanes()) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("url", [
    "postgresql+psycopg://nobody@127.0.0.1:1/nothing", "sqlite:////nowhere/at/all/jobsched.db",
])
def test_without_the_database_the_answer_is_503(
    make_client: MakeClient, settings: Settings, redis: Redis, url: str
) -> None:
    client = make_client(replace(settings, database_url=url))
    for path in GET:
        for headers in ({}, BROWSER):
            if path == "/" and not headers:
                continue
            response = client.get(path, headers=headers)
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) > 0
            assert "sqlalche" not in response.text
    for key in ({}, {"Idempotency-Key": "a"}):
        problem(client.post("/sites", json={"name": "a"}, headers=key), 503)
    problem(client.post("/jobs", json={"user": 1, "site": 1, "execution_time": 1}), 503)
    assert client.get("/healthz").status_code == 200
    assert client.get("/openapi.json").status_code == 200
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json["checks"]["database"]["ok"]) == (503, False)


@ON_SQLITE
def test_a_database_that_stays_locked_is_away(
    make_client: MakeClient, settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("jobsched.ledger.database.BUSY_TIMEOUT_S", 0.05)
    client = make_client(settings)
    with client.application.app_context():
        create_tables()
    with closing(sqlite3.connect(tmp_path / "jobsched.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        response = client.post("/sites", json={"name": "a"})
        problem(response, 503)
        assert response.headers["Retry-After"]
        assert client.get("/sites").json == []
        other.execute("ROLLBACK")
    created(client.post("/sites", json={"name": "a"}))
