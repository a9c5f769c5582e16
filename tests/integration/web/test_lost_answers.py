"""A POST with an Idempotency-Key whose answer is lost: its repeat gets the same jobs, and none is made twice."""

from __future__ import annotations

import dataclasses
import http.client
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis
from sqlalchemy import event, func, make_url, select
from werkzeug.serving import make_server

from jobsched.config import Settings
from jobsched.dispatch.repair import Sweeper
from jobsched.ledger.database import reading
from jobsched.ledger.models import IdempotencyKey, Job, Site, db
from tests.chaos.proxy import Proxy
from tests.integration.conftest import MakeClient
from tests.integration.requests import add_job, add_user, board_of, created, problem
from tests.servers import PostgresServer

KEY = {"Idempotency-Key": "a key of ours"}
JOBS = [{"user": 1, "site": 1, "execution_time": 1}] * 3


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[Proxy]:
    """What stands between the application and PostgreSQL, and loses nothing as yet."""
    with Proxy(postgres.directory / ".s.PGSQL.5432", random.Random(1)) as proxy:
        yield proxy


@pytest.fixture
def behind(proxy: Proxy, settings: Settings, client: FlaskClient, make_client: MakeClient, redis: Redis) -> FlaskClient:
    """A client of an application whose every connection to the database of ``client`` goes by the proxy."""
    name = make_url(settings.database_url).database
    return make_client(dataclasses.replace(
        settings, database_url=f"postgresql://jobsched@127.0.0.1:{proxy.port}/{name}?sslmode=disable"))


@contextmanager
def lost(proxy: Proxy, app: Flask, what: str) -> Iterator[None]:
    """Have the first answer to a statement that begins with ``what``, or to a COMMIT, lost, and its connection cut."""

    def lose(*_: Any) -> None:
        if not proxy.counts["replies lost"]:
            proxy.lose_replies = 1.0

    def executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(what):
            lose()

    with app.app_context():
        engine = db.engine
    hook = ("commit", lose) if what == "COMMIT" else ("before_cursor_execute", executed)
    event.listen(engine, *hook)
    try:
        yield
    finally:
        event.remove(engine, *hook)
        proxy.lose_replies = 0.0


def count(client: FlaskClient, model: type[db.Model]) -> int:  # type: ignore[name-defined]
    with client.application.app_context(), reading() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def waiting(client: FlaskClient) -> int:
    return sum(lane.waiting for lane in board_of(client).view.lanes())


only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@only_postgresql
@pytest.mark.parametrize("what", ["COMMIT", "INSERT INTO jobs", "INSERT INTO idempotency_keys"])
def test_jobs_whose_commit_was_not_answered_are_made_once(
    client: FlaskClient, behind: FlaskClient, proxy: Proxy, settings: Settings, redis: Redis, what: str
) -> None:
    add_user(client)
    with lost(proxy, behind.application, what):
        assert problem(behind.post("/jobs", json=JOBS, headers=KEY), 503)
    assert proxy.counts["replies lost"] == 1
    is_done = what == "COMMIT"
    assert count(client, Job) == (3 if is_done else 0)

    again = behind.post("/jobs", json=JOBS, headers=KEY)

    made = [job["id"] for job in created(again)]
    assert again.headers.get("Idempotency-Replayed") == ("true" if is_done else None)
    with client.application.app_context(), reading() as session:
        assert sorted(session.scalars(select(Job.id))) == sorted(made)
    with client.application.app_context():
        Sweeper(settings, board_of(client), redis).sweep()
    assert waiting(client) == 3


@only_postgresql
def test_a_cancel_whose_commit_was_not_answered_is_no_conflict(
    client: FlaskClient, behind: FlaskClient, proxy: Proxy, settings: Settings, redis: Redis
) -> None:
    add_user(client)
    job = add_job(client)
    with lost(proxy, behind.application, "COMMIT"):
        problem(behind.post(job["links"]["cancel"], headers=KEY), 503)

    again = behind.post(job["links"]["cancel"], headers=KEY)

    assert (again.status_code, again.json["status"]) == (200, "cancelled")  # type: ignore[index]
    with client.application.app_context():
        Sweeper(settings, board_of(client), redis).sweep()
    assert waiting(client) == 0


@only_postgresql
def test_two_repeats_at_once_of_what_was_not_answered_make_nothing(
    client: FlaskClient, behind: FlaskClient, proxy: Proxy
) -> None:
    with lost(proxy, behind.application, "COMMIT"):
        problem(behind.post("/sites", json={"name": "a"}, headers=KEY), 503)
    answers: list[bytes] = []

    def repeat() -> None:
        answers.append(behind.application.test_client().post("/sites", json={"name": "a"}, headers=KEY).data)

    repeats = [Thread(target=repeat) for _ in range(4)]
    for thread in repeats:
        thread.start()
    for thread in repeats:
        thread.join()
    assert len(answers) == 4
    assert {json.loads(answer)["id"] for answer in answers} == {1}
    assert (count(client, Site), count(client, IdempotencyKey)) == (1, 1)


def test_jobs_whose_answer_never_reached_their_client_are_made_once(client: FlaskClient, tmp_path: Path) -> None:
    add_user(client)
    with serving(client.application, tmp_path / "web.sock") as proxy:
        proxy.lose_replies = 1.0
        with pytest.raises((OSError, http.client.HTTPException)):
            post(proxy.port)
        proxy.lose_replies = 0.0
        assert proxy.counts["replies lost"] == 1
        status, headers, made = post(proxy.port)
    assert (status, headers["Idempotency-Replayed"], len(made)) == (201, "true", 3)
    assert (count(client, Job), waiting(client)) == (3, 3)


@contextmanager
def serving(app: Flask, path: Path) -> Iterator[Proxy]:
    """The application, served by HTTP behind a proxy."""
    server = make_server(f"unix://{path}", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        with Proxy(path, random.Random(1)) as proxy:
            yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def post(port: int) -> tuple[int, Any, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/jobs", json.dumps(JOBS), {**KEY, "Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.headers, json.loads(response.read())
    finally:
        connection.close()
