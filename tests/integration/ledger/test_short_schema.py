"""Every command on an unmigrated database says what to run, and does nothing else."""

from __future__ import annotations

import logging
import os
import signal

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from jobsched.base.loop import run_forever
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.dispatch.dispatcher import Dispatcher
from jobsched.ledger import schema
from jobsched.ledger.database import ledger_app
from jobsched.ledger.models import db
from tests.integration.conftest import MakeClient
from tests.integration.requests import BROWSER, problem

#: Requests that need the database: method, path, body.
REQUESTS = (
    *(("GET", path, None) for path in ("/sites", "/sites/1", "/user-records", "/user-records/1", "/jobs", "/jobs/1",
                                       "/jobs/1/why")),
    ("POST", "/sites", {"name": "a"}),
    ("POST", "/user-records", {"name": "a", "site": 1}),
    ("POST", "/jobs", {"user": 1, "site": 1, "execution_time": 1}),
    ("PATCH", "/sites/1", {"name": "b"}),
    ("PATCH", "/jobs/1", {"execution_time": 2}),
    ("POST", "/jobs/1/cancel", None),
    ("POST", "/jobs/1/retry", None),
    *(("DELETE", path, None) for path in ("/sites/1", "/user-records/1", "/jobs/1")),
)
PAGES = ("/", "/sites", "/sites/1", "/user-records", "/jobs", "/jobs/1")


def test_each_request_to_an_empty_database_is_answered_with_what_to_run(
        make_client: MakeClient, settings: Settings, redis: Redis) -> None:
    client = make_client(settings)
    for request in REQUESTS:
        answer = asked(client, *request)
        assert "the database has no tables of jobsched: run jobsched migrate" in problem(answer, 503)["detail"]
    for path in PAGES:
        page = client.get(path, headers=BROWSER)
        assert page.status_code == 503
        assert page.mimetype == "text/html"
        assert "run jobsched migrate" in page.text
    key = {"Idempotency-Key": "a"}
    assert "jobsched migrate" in problem(client.post("/sites", json={"name": "a"}, headers=key), 503)["detail"]
    schema.upgrade(settings)
    assert client.post("/sites", json={"name": "a"}, headers=key).status_code == 201


def test_what_an_older_schema_lacks_is_said_wherever_it_is_missed(
        make_client: MakeClient, settings: Settings, redis: Redis) -> None:
    client = make_client(settings)
    for revision in reversed(schema._revisions()[1:]):
        schema.upgrade(settings, revision)
        wrong = [(request, answer.status_code) for request in REQUESTS
                 if (answer := asked(client, *request)).status_code >= 500
                 and not (answer.status_code == 503 and "run jobsched migrate" in answer.text)]
        assert wrong == [], revision
        for path in PAGES:
            page = client.get(path, headers=BROWSER)
            assert page.status_code < 500 or "run jobsched migrate" in page.text, (revision, path)
    schema.upgrade(settings)
    assert client.get("/jobs").status_code == 200


def test_a_conflict_on_a_whole_schema_stays_a_conflict(client: FlaskClient) -> None:
    assert client.post("/user-records", json={"name": "a", "site": 999}).status_code in (409, 422)


def test_a_dispatcher_waits_for_the_migration_in_lines_of_one_sentence(
        settings: Settings, redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    dispatcher = Dispatcher(settings, Board(redis), redis)
    failed = 0

    def tick() -> float:
        nonlocal failed
        try:
            return dispatcher.tick()
        except Exception:
            failed += 1
            if failed == 2:
                schema.upgrade(settings)
            raise
        finally:
            if failed >= 2:
                os.kill(os.getpid(), signal.SIGTERM)

    with ledger_app(settings).app_context(), caplog.at_level(logging.WARNING):
        run_forever(tick, lambda _: None)
        dispatcher.tick()
        db.engine.dispose()
    said = [record.getMessage() for record in caplog.records if "tick failed" in record.getMessage()]
    assert len(said) == 2
    for line in said:
        assert line.endswith("the database has not the tables that this version needs: run jobsched migrate")
        assert "\n" not in line


def asked(client: FlaskClient, method: str, path: str, body: object) -> TestResponse:
    return client.open(path, method=method, json=body)
