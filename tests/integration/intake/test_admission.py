"""A site's waiting jobs stay within its max_pending, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from jobsched.board import Lane
from jobsched.board.view import View
from jobsched.domain import Status
from jobsched.ledger.models import db
from tests.integration.requests import (
    BROWSER,
    ON_SQLITE,
    add_job,
    add_site,
    add_user,
    board_of,
    created,
    pointers,
    problem,
    set_status,
)

JOB = {"user": 1, "site": 1, "execution_time": 1}
KEY = {"Idempotency-Key": "a key of ours"}


@pytest.fixture
def site(client: FlaskClient) -> int:
    """Site 1, where three jobs may wait, with user 1; site 2 has no limit."""
    site = add_site(client, max_pending=3)
    add_user(client, site)
    add_site(client)
    return site


def _waiting(client: FlaskClient, site: int = 1) -> int:
    jobs = client.get(f"/jobs?site={site}&limit=500").json
    return sum(job["status"] in ("pending", "scheduled") for job in jobs)


def test_a_job_too_many_is_refused_with_when_to_come_back(client: FlaskClient, site: int) -> None:
    created(client.post("/jobs", json=[JOB, {**JOB, "run_at": "2090-01-01T00:00:00Z"}, JOB]))
    response = client.post("/jobs", json=JOB)
    assert pointers(response, 429) == ["/site"]
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert "max_pending" in response.json["errors"][0]["detail"]
    assert _waiting(client) == 3
    add_job(client, site=2)


def test_a_list_is_taken_whole_or_not_at_all(client: FlaskClient, site: int) -> None:
    other = add_site(client, max_pending=1)
    add_job(client)
    wishes = [{**JOB, "site": 2}, JOB, {**JOB, "site": other}, JOB, JOB, {**JOB, "site": other}, JOB]
    assert sorted(pointers(client.post("/jobs", json=wishes), 429)) == ["/4/site", "/5/site"]
    assert len(client.get("/jobs").json) == 1
    created(client.post("/jobs", json=wishes[:4]))


def test_what_is_with_a_worker_or_has_ended_leaves_room(client: FlaskClient, site: int) -> None:
    jobs = [add_job(client)["id"] for _ in range(3)]
    set_status(client, jobs[0], Status.RUNNING)
    client.post(f"/jobs/{jobs[1]}/cancel")
    add_job(client)
    add_job(client)
    problem(client.post("/jobs", json=JOB), 429)


def test_a_repeat_of_what_was_accepted_is_answered_as_before(client: FlaskClient, site: int) -> None:
    first = client.post("/jobs", json=[JOB] * 3, headers=KEY)
    created(first)
    problem(client.post("/jobs", json=JOB), 429)
    again = client.post("/jobs", json=[JOB] * 3, headers=KEY)
    assert (again.status_code, again.data) == (201, first.data)


def test_a_key_of_what_was_refused_serves_again_when_there_is_room(client: FlaskClient, site: int) -> None:
    jobs = created(client.post("/jobs", json=[JOB] * 3))
    problem(client.post("/jobs", json=JOB, headers=KEY), 429)
    client.post(jobs[0]["links"]["cancel"])
    created(client.post("/jobs", json=JOB, headers=KEY))


def test_retrying_and_moving_to_the_site_need_room(client: FlaskClient, site: int) -> None:
    jobs = created(client.post("/jobs", json=[JOB] * 3))
    elsewhere = add_job(client, site=2)
    assert pointers(client.patch(elsewhere["links"]["self"], json={"site": 1}), 429) == ["/site"]
    set_status(client, jobs[0]["id"], Status.FAILED)
    assert client.patch(elsewhere["links"]["self"], json={"site": 1}).status_code == 200
    assert pointers(client.post(f"/jobs/{jobs[0]['id']}/retry"), 429) == [""]
    assert client.get(f"/jobs/{jobs[0]['id']}").json["status"] == "failed"
    assert board_of(client).upkeep.known([elsewhere["id"]]) == {elsewhere["id"]}, "still waits"


def test_a_waiting_job_may_be_changed_where_there_is_no_room(client: FlaskClient, site: int) -> None:
    jobs = created(client.post("/jobs", json=[JOB] * 3))
    assert client.patch(jobs[0]["links"]["self"], json={"execution_time": 0.5}).status_code == 200
    assert client.patch("/sites/1", json={"max_pending": 1}).status_code == 200
    assert client.patch(jobs[1]["links"]["self"], json={"run_at": "2090-01-01T00:00:00Z"}).status_code == 200
    assert _waiting(client) == 3


def test_a_limit_holds_at_once_and_ends_at_once(client: FlaskClient, site: int) -> None:
    created(client.post("/jobs", json=[JOB] * 3))
    client.patch("/sites/1", json={"max_pending": None})
    created(client.post("/jobs", json=[JOB] * 3))
    client.patch("/sites/1", json={"max_pending": 6})
    problem(client.post("/jobs", json=JOB), 429)


def test_writers_at_the_same_time_do_not_exceed_it_together(client: FlaskClient) -> None:
    add_user(client, add_site(client, max_pending=10))
    together = Barrier(8)

    def post(_: int) -> list[int]:
        mine = client.application.test_client()
        together.wait()
        return [mine.post("/jobs", json=[JOB] * 2).status_code for _ in range(3)]

    with ThreadPoolExecutor(8) as pool:
        answers = [status for statuses in pool.map(post, range(8)) for status in statuses]
    assert (answers.count(201), answers.count(429)) == (5, 19)
    assert _waiting(client) == 10


def _may_count(url: str, site: int) -> bool:
    """Whether another writer would count a site's jobs now, rather than wait for its turn."""
    sqlite = url.startswith("sqlite")
    rival = create_engine(url, poolclass=NullPool, connect_args={"timeout": 0} if sqlite else {})
    lock = "BEGIN IMMEDIATE" if sqlite else f"SELECT id FROM sites WHERE id = {site} FOR NO KEY UPDATE NOWAIT"
    with closing(rival.connect()) as connection:
        try:
            connection.exec_driver_sql(lock)
        except OperationalError:
            return False
        return True


def test_nobody_else_counts_between_the_count_and_the_jobs(client: FlaskClient, site: int, database_url: str) -> None:
    others: list[bool] = []

    def look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO jobs"):
            others.append(_may_count(database_url, site))

    assert _may_count(database_url, site)
    with client.application.app_context():
        event.listen(db.engine, "before_cursor_execute", look)
    add_job(client)
    assert others == [False]


def test_a_site_without_a_limit_costs_no_query_more(client: FlaskClient, site: int) -> None:
    asked: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT") and " sites" in statement:
            asked.append(statement)

    with client.application.app_context():
        event.listen(db.engine, "before_cursor_execute", count)
    add_job(client, site=2)
    without = len(asked)
    asked.clear()
    add_job(client, site=1)
    assert without == 2, "whether it exists, and its name"
    assert len(asked) == without + 1, "its limit once more, under a lock"


@ON_SQLITE
@pytest.mark.parametrize(("workers", "work_s", "after"), [
    (0, 50.0, 5),  # who would do it is not known
    (2, 0.0, 5),  # nothing but scheduled jobs waits
    (2, 300.0, 50),  # 150 s until all of it is done, of which a third has to go
    (1, 0.3, 1), (1, 9000.0, 60),  # never less than a second, nor more than a minute
])
def test_when_to_come_back_follows_the_work_and_the_workers(
    client: FlaskClient, site: int, monkeypatch: pytest.MonkeyPatch, workers: int, work_s: float, after: int
) -> None:
    created(client.post("/jobs", json=[JOB] * 3))
    for number in range(workers):
        board_of(client).presence.beat("worker", f"w-{number}", 60)
    monkeypatch.setattr(View, "lanes", lambda _: [Lane("task_01"), Lane("task_04", backlog_s=work_s)])
    assert int(client.post("/jobs", json=JOB).headers["Retry-After"]) == after


@ON_SQLITE
def test_a_paused_site_is_to_be_tried_again_as_late_as_may_be_said(client: FlaskClient, site: int) -> None:
    created(client.post("/jobs", json=[JOB] * 3))
    board_of(client).presence.beat("worker", "w-1", 60)
    assert int(client.post("/jobs", json=JOB).headers["Retry-After"]) < 60
    client.patch(f"/sites/{site}", json={"paused": True})
    assert client.post("/jobs", json=[{**JOB, "site": 2}, JOB]).headers["Retry-After"] == "60"
    client.patch(f"/sites/{site}", json={"paused": False})
    assert int(client.post("/jobs", json=JOB).headers["Retry-After"]) < 60


@ON_SQLITE
def test_without_redis_the_limit_holds(client: FlaskClient, site: int) -> None:
    created(client.post("/jobs", json=[JOB] * 3))
    board_of(client).wipe()
    assert client.post("/jobs", json=JOB).headers["Retry-After"] == "5"


@ON_SQLITE
def test_a_browsers_form_comes_back_with_what_was_typed(client: FlaskClient, site: int) -> None:
    created(client.post("/jobs", json=[JOB] * 3))
    form = {"user": "1", "site": "1", "execution_time": "0.125"}
    response = client.post("/jobs", data=form, headers=BROWSER)
    assert (response.status_code, response.mimetype) == (429, "text/html")
    assert response.headers["Retry-After"]
    assert "max_pending" in response.text
    assert "0.125" in response.text
