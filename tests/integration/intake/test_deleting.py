"""A site or a user record is deleted with its history, however long, and no other request waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, func, insert, select, update

from jobsched.domain import Status
from jobsched.intake import history
from jobsched.ledger.database import reading, writing
from jobsched.ledger.models import Job, db
from jobsched.web.api.resource import Resource
from jobsched.web.api.sites import Sites
from jobsched.web.api.user_records import UserRecords
from tests.integration.requests import add_job, add_user, problem, set_status
from tests.support import eventually

#: Two whole portions, and a part of one.
LONG = 2 * history.PORTION + 500


def add_history(client: FlaskClient, user: int, site: int, jobs: int = LONG) -> None:
    """Jobs that have ended, of each status that ends one."""
    ended = [Status.COMPLETED, Status.FAILED, Status.CANCELLED]
    rows = [{"user_id": user, "site_id": site, "execution_time": 0.5, "band": "task_04", "max_attempts": 3,
             "status": ended[i % 3].value} for i in range(jobs)]
    with client.application.app_context(), writing() as session:
        session.execute(insert(Job), rows)


def left(client: FlaskClient) -> int:
    with client.application.app_context(), reading() as session:
        return session.scalar(select(func.count()).select_from(Job)) or 0


@contextmanager
def transactions(client: FlaskClient) -> Iterator[list[int]]:
    """How many jobs each transaction deletes that is committed within the block."""
    counts = [0]

    def executed(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE FROM jobs"):
            counts[-1] += cursor.rowcount

    def committed(_connection: Any) -> None:
        counts.append(0)

    with client.application.app_context():
        event.listen(db.engine, "after_cursor_execute", executed)
        event.listen(db.engine, "commit", committed)
        try:
            yield counts
        finally:
            event.remove(db.engine, "after_cursor_execute", executed)
            event.remove(db.engine, "commit", committed)


@pytest.mark.parametrize("path", ["/sites/1", "/user-records/1"])
def test_a_long_history_goes_in_portions(client: FlaskClient, path: str) -> None:
    add_user(client)
    add_history(client, user=1, site=1)

    with transactions(client) as counts:
        assert client.delete(path).status_code == 204

    assert sum(counts) == LONG
    assert max(counts) == history.PORTION
    assert left(client) == 0
    problem(client.get(path), 404)


def test_a_history_at_other_sites_goes_in_portions_too(client: FlaskClient) -> None:
    add_user(client)
    add_user(client)
    add_history(client, user=1, site=2)
    add_history(client, user=2, site=2, jobs=3)

    with transactions(client) as counts:
        assert client.delete("/sites/1").status_code == 204

    assert (sum(counts), max(counts), left(client)) == (LONG, history.PORTION, 3)


@pytest.mark.parametrize("path", ["/sites/1", "/user-records/1"])
def test_a_job_that_has_not_ended_keeps_the_history(client: FlaskClient, path: str) -> None:
    add_user(client)
    add_history(client, user=1, site=1)
    add_job(client)

    detail = problem(client.delete(path), 409)["detail"]

    assert "deleted already" not in detail
    assert left(client) == LONG + 1


@pytest.mark.parametrize("path", ["/sites/1", "/user-records/1"])
def test_a_job_that_comes_between_two_portions_is_kept_and_the_next_delete_goes_on(
    client: FlaskClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_user(client)
    add_history(client, user=1, site=1)
    came: list[int] = []

    def pause(_seconds: float) -> None:
        if not came:
            came.append(add_job(client)["id"])

    monkeypatch.setattr(history.time, "sleep", pause)
    detail = problem(client.delete(path), 409)["detail"]
    assert f"; {history.PORTION} that had ended are deleted already" in detail
    assert left(client) == LONG - history.PORTION + 1
    assert client.get(f"/jobs/{came[0]}").json["status"] == "pending"

    set_status(client, came[0], Status.COMPLETED)
    assert client.delete(path).status_code == 204
    assert left(client) == 0


@pytest.mark.parametrize(("path", "resource"), [("/sites/1", Sites), ("/user-records/1", UserRecords)])
def test_a_job_that_comes_after_the_last_portion_is_kept_and_the_answer_says_what_is_gone(
    client: FlaskClient, path: str, resource: type[Resource[Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_user(client)
    add_history(client, user=1, site=1, jobs=3)
    clear = resource.clear

    def clear_and_accept(self: Resource[Any, Any], id_: int) -> int:
        cleared = clear(self, id_)
        add_job(client)
        return cleared

    monkeypatch.setattr(resource, "clear", clear_and_accept)
    assert "; 3 that had ended are deleted already" in problem(client.delete(path), 409)["detail"]
    assert left(client) == 1
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_job_that_is_retried_meanwhile_stays(client: FlaskClient) -> None:
    """SQLite has one writer at a time; in PostgreSQL the retry may commit while the portion waits for its row."""
    add_user(client)
    add_history(client, user=1, site=1, jobs=3)
    answers: list[int] = []
    with client.application.app_context(), writing() as session:
        session.execute(update(Job).where(Job.id == 2).values(status="pending"))
        deleting = Thread(target=lambda: answers.append(client.application.test_client().delete("/user-records/1")
                                                        .status_code))
        deleting.start()
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
            eventually(lambda: other.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND query LIKE 'DELETE FROM jobs%%' AND datname = current_database()").scalar())
    deleting.join()

    assert answers == [409]
    with client.application.app_context(), reading() as session:
        assert list(session.scalars(select(Job.id))) == [2]
