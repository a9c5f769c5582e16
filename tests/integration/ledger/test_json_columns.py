"""Payloads and results come back unchanged through the real ledger, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given
from hypothesis import settings as options
from hypothesis import strategies as st
from sqlalchemy import text, update
from sqlalchemy.exc import StatementError

from jobsched.config import Settings
from jobsched.domain import Fence, Slice, Status
from jobsched.ledger import moves, schema
from jobsched.ledger.database import ledger_app, reading, writing
from jobsched.ledger.models import Job, db, utcnow
from jobsched.ledger.moves import Outcome
from jobsched.web.http import body
from jobsched.work import results
from tests.support import make_job, make_site, make_user

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
SCALARS = (st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
           | st.integers(-(2**2_000), 2**2_000) | st.integers().map(str) | st.floats().map(str))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
                      max_leaves=15)
EXAMPLES = (12345678901234567890, 2**63, -(2**63) - 1, 10**400, 1.0, -0.0, 1e5, 1e100, 5e-324, 1.7976931348623157e308,
            0.1 + 0.2, 2**53 + 1, 7, "7", "007", "1e5", "Infinity", "NaN", "null", "-0", " 12 ", "0x10", "", "\0",
            "\U0001f600", True, False, [], {}, [1.0, 10**30], {"": {"\0": -0.0}})


def same(left: Any, right: Any) -> bool:
    """Equal, of the same types, to the sign of a zero."""
    return json.dumps(left) == json.dumps(right) and type(left) is type(right)


@pytest.fixture
def running(ledger: Flask) -> Job:
    """A job that runs."""
    job = make_job()
    with writing() as session:
        moves.start(session, Slice("s-1", job.site_id, job.band, 0, 1_700_000_000.0, (Fence(job.id, 0),)))
    return job


def recorded(job: Job, result: Any) -> Any:
    """What is read after ``result`` went through the finish fence as the job's."""
    now = datetime.now(timezone.utc)
    with writing() as session:
        session.execute(update(Job).where(Job.id == job.id).values(status="running"))
    with writing() as session:
        assert moves.finish(session, [Outcome(job.id, 1, Status.COMPLETED, now, now, 0.0, result)]) == 1
    with reading() as session:
        return session.get_one(Job, job.id).result


def _with_examples(test: Any) -> Any:
    for value in EXAMPLES:
        test = example(value=value)(test)
    return test


@_with_examples
@given(value=VALUES)
@options(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_result_comes_back_as_it_was_returned(running: Job, value: Any) -> None:
    kept = recorded(running, results.recordable(value))

    assert same(kept, value)


@given(payload=st.dictionaries(TEXT, VALUES, max_size=4))
@example(payload={"big": 2**63 - 1, "one": 1.0, "zero": -0.0, "text": "1e5"})
@options(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_payload_comes_to_the_worker_as_it_was_sent(running: Job, payload: dict[str, Any]) -> None:
    with writing() as session:
        session.execute(update(Job).where(Job.id == running.id).values(payload=payload, status="pending", attempt=0))
    with writing() as session:
        fence = Fence(running.id, 0)
        (started,) = moves.start(session, Slice("s-2", running.site_id, running.band, 0, 1_700_000_000.0, (fence,)))

    assert same(started.payload, payload)


def test_a_result_of_the_largest_size_is_recorded(running: Job) -> None:
    largest = "x" * (results.RESULT_BYTES - 2)

    assert recorded(running, results.recordable(largest)) == largest


@pytest.mark.parametrize("number", ["12345678901234567890", "1.0", "1e400", "-0.0"])
def test_a_job_posted_with_a_number_shows_that_number_or_is_refused(client: FlaskClient, number: str) -> None:
    user = make_user_of(client)
    sent = f'{{"site": 1, "user": {user}, "execution_time": 0.1, "payload": {{"n": {number}}}}}'

    answer = client.post("/jobs", data=sent, content_type="application/json")

    if answer.status_code == 201:
        assert f'"payload":{{"n":{number}}}' in client.get("/jobs/1").text
    else:
        assert (answer.status_code, number in ("12345678901234567890", "1e400")) == (400, True)
        assert number in answer.get_json()["errors"][0]["detail"]


@pytest.mark.parametrize("result", [10**400, 12345678901234567890, 1e300, "Infinity", 1.0])
def test_the_list_of_jobs_holds_each_result_as_json(client: FlaskClient, result: Any) -> None:
    make_user_of(client)
    with client.application.app_context():
        with reading() as session:
            user = session.scalars(text("SELECT id FROM user_records")).one()
        with writing() as session:
            session.add(Job(user_id=user, site_id=1, execution_time=0.1, band="task_03", max_attempts=3,
                            status="completed", result=result))

    (shown,) = json.loads(client.get("/jobs").text, parse_constant=pytest.fail)

    assert same(shown["result"], result)


def make_user_of(client: FlaskClient) -> int:
    """A user record of site 1."""
    client.post("/sites", json={"name": "Acme"})
    made: int = client.post("/user-records", json={"site": 1, "name": "Ada"}).get_json()["id"]
    return made


# What is there already


@pytest.fixture
def before(settings: Settings) -> Iterator[Flask]:
    """The ledger as the revision before had it."""
    schema.upgrade(settings, "0002")
    with ledger_app(settings).app_context():
        yield db
        db.engine.dispose()


#: What the older revision wrote as the text of a result, with what comes back.
OLD: dict[str, Any] = {
    "null": None, "12345678901234567890": 1.2345678901234567e19, "7": 7, "1.0": 1, "0.1": 0.1, "1e100": 1e100,
    "5e-324": 5e-324, '"1e5"': "1e5", '"Infinity"': "Infinity", '{"a": 1.0}': {"a": 1.0}, "[]": [], "true": True,
    '"\\u0000\\ud83d\\ude00"': "\0\U0001f600",
}
INSERT = text("INSERT INTO jobs (user_id, site_id, task, payload, execution_time, band, status, attempt, max_attempts,"
              " submitted_at, enqueued_at, result, error) VALUES (1, 1, 'sleep', '{\"n\": 1.0}', 0.1, 'task_03',"
              " 'completed', 1, 3, :now, :now, :result, NULL)")


def fill(results_: list[str]) -> None:
    now = utcnow().replace(tzinfo=None)
    with writing() as session:
        session.execute(text("INSERT INTO sites (id, name, domain, url, description, record_capacity, created_at)"
                             " VALUES (1, 'Acme', '', '', '', 1, :now)"), {"now": now})
        session.execute(text("INSERT INTO user_records (id, site_id, name, email, phone, address, country, state, city,"
                             " pincode, is_active, created_at)"
                             " VALUES (1, 1, 'Ada', '', '', '', '', '', '', '', true, :now)"), {"now": now})
        for result in results_:
            session.execute(INSERT, {"now": now, "result": result})


@only_sqlite
def test_the_migration_keeps_what_sqlite_kept_and_writes_it_as_json(before: Flask, settings: Settings) -> None:
    fill(list(OLD))

    schema.upgrade(settings)

    with reading() as session:
        jobs = session.query(Job).order_by(Job.id).all()
        assert [same(job.result, kept) for job, kept in zip(jobs, OLD.values(), strict=True)] == [True] * len(OLD)
        assert {json.dumps(job.payload) for job in jobs} == {'{"n": 1.0}'}
        assert {job.error for job in jobs} == {None}
        assert session.scalar(text("SELECT count(*) FROM jobs WHERE typeof(result) NOT IN ('text', 'null')")) == 0


@only_sqlite
def test_a_number_that_sqlite_has_lost_is_said_to_be_lost(before: Flask, settings: Settings) -> None:
    fill([f"1{'0' * 400}", "-1e999"])

    schema.upgrade(settings)

    with reading() as session:
        for job in session.query(Job):
            assert (job.result, job.error) == (None, "the result, a number beyond 1.8e308, was not kept")


@only_postgresql
def test_the_migration_leaves_alone_what_postgresql_kept(before: Flask, settings: Settings) -> None:
    fill(list(OLD))

    schema.upgrade(settings)

    with reading() as session:
        kept = [job.result for job in session.query(Job).order_by(Job.id)]
    assert all(same(one, json.loads(old)) for one, old in zip(kept, OLD, strict=True))


def test_the_id_of_a_job_that_was_deleted_before_the_migration_is_not_given_again(
    before: Flask, settings: Settings
) -> None:
    fill(["1", "2"])
    with writing() as session:
        session.execute(text("DELETE FROM jobs WHERE id = 2"))

    schema.upgrade(settings)

    with writing() as session:
        job = Job(user_id=1, site_id=1, execution_time=0.1, band="task_03", max_attempts=3)
        session.add(job)
    assert job.id == 3


def test_indexes_and_rows_outlast_the_way_forth_and_back(before: Flask, settings: Settings) -> None:
    fill(list(OLD))
    schema.upgrade(settings)
    schema.downgrade(settings, "0002")
    schema.upgrade(settings)

    with reading() as session:
        assert session.query(Job).count() == len(OLD)
        names = {index["name"] for index in db.inspect(db.engine).get_indexes("jobs")}
    assert names == {index.name for index in Job.__table__.indexes}


# What can not be stored


def test_a_value_that_is_no_json_is_refused_before_it_is_written(ledger: Flask) -> None:
    for value in (math.nan, math.inf):
        with pytest.raises(StatementError):
            make_job(make_user(make_site()), result=value)


def test_what_the_web_takes_is_what_a_result_may_hold() -> None:
    """One rule on both ways: a number that the web refuses in a payload is at least not changed in a result."""
    with pytest.raises(body.Malformed, match="64 bits"):
        body.parse("[12345678901234567890]")
    assert results.recordable([12345678901234567890]) == [12345678901234567890]
