"""An outcome that cannot be recorded affects only its own job; a database that cannot store all text is refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from jobsched.config import Settings, load
from jobsched.domain import Fence, Slice, Status
from jobsched.ledger import moves, schema
from jobsched.ledger.database import writing
from jobsched.ledger.models import Job, db
from jobsched.ledger.moves import Outcome
from jobsched.work.errors import ERROR_BYTES
from jobsched.work.recording import record
from tests.engine import ROOT, environment, job
from tests.servers import PostgresServer
from tests.support import make_job, make_site, make_user

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def running(ledger: Flask) -> list[Job]:
    """Three jobs that run."""
    user = make_user(make_site())
    jobs = [make_job(user) for _ in range(3)]
    with writing() as session:
        fences = tuple(Fence(one.id, 0) for one in jobs)
        moves.start(session, Slice("s-1", user.site_id, jobs[0].band, 0, 1_700_000_000.0, fences))
    return jobs


def outcomes(jobs: list[Job], **of_second: Any) -> list[Outcome]:
    """Failures of the jobs with an error each; the second with fields of its own."""
    ended = [Outcome(one.id, 1, Status.FAILED, NOW, NOW, 0.5, None, f"error {i}") for i, one in enumerate(jobs)]
    ended[1] = dataclasses.replace(ended[1], **of_second)
    return ended


@pytest.mark.parametrize("strange", [
    {"status": Status.COMPLETED, "result": {"n": float("nan")}, "error": None},
    {"status": Status.COMPLETED, "result": {1, 2}, "error": None},
    {"status": Status.COMPLETED, "result": ["\ud800", float("inf")], "error": None},
    {"error": "half \ud800 of a pair"},
    {"run_time": 10**400},
    {"run_time": "long"},
    {"started_at": "yesterday"},
    {"finished_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))},
    {"status": Status.SCHEDULED, "run_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=12)))},
    {"status": Status.PENDING, "band": None},
    {"status": Status.CANCELLED},
])
def test_an_outcome_that_is_refused_fails_its_own_job_and_no_other(
    running: list[Job], strange: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = running

    assert record(outcomes(running, **strange)) == 0

    ended = [job(one.id) for one in (first, second, third)]
    assert [(one.status, one.attempt) for one in ended] == [("failed", 1)] * 3
    assert [ended[0].error, ended[2].error] == ["error 0", "error 2"]
    assert "how it ended can not be recorded (" in str(ended[1].error)
    assert str(ended[1].error).startswith("error 1\n" if "error" not in strange else "")
    assert len(str(ended[1].error).encode()) <= ERROR_BYTES
    assert "one by one" in caplog.text


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_postgresql_alone_refuses_fails_its_own_job_and_no_other(running: list[Job]) -> None:
    assert record(outcomes(running, error="a NUL \0 in it")) == 0

    assert [job(one.id).status for one in running] == ["failed"] * 3
    assert "a NUL \\0 in it\nhow it ended can not be recorded" in str(job(running[1].id).error)


def test_outcomes_that_come_too_late_stay_so_beside_one_that_is_refused(running: list[Job]) -> None:
    with writing() as session:
        session.execute(update(Job).where(Job.id == running[2].id).values(status="pending"))

    assert record(outcomes(running, error="\ud800")) == 1

    assert [job(one.id).status for one in running] == ["failed", "failed", "pending"]


def test_a_ledger_without_its_tables_refuses_nobody_in_particular(
    running: list[Job], caplog: pytest.LogCaptureFixture
) -> None:
    with writing() as session:
        session.execute(text("ALTER TABLE jobs RENAME TO jobs_elsewhere"))

    with pytest.raises(DBAPIError):
        record(outcomes(running))

    assert "one by one" not in caplog.text


# A database that can not keep every text


@pytest.fixture
def narrow(postgres: PostgresServer, settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """The settings for a database in LATIN1."""
    name = f"test_{uuid4().hex}"
    postgres.administer(f'CREATE DATABASE "{name}" ENCODING LATIN1 LC_COLLATE "C" LC_CTYPE "C" TEMPLATE template0')
    try:
        yield load({"JOBSCHED_HOME": str(tmp_path), "DATABASE_URL": postgres.url(name),
                    "REDIS_URL": settings.redis_url, "SECRET_KEY": "only-for-tests"})
    finally:
        postgres.administer(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("command", [
    ("-m", "jobsched", "migrate"), ("-m", "jobsched", "dispatcher"), ("-m", "jobsched", "worker"),
    ("-m", "jobsched", "repair"), ("-m", "gunicorn", "-b", "127.0.0.1:0", "app:app"),
])
def test_a_database_that_is_not_utf_8_is_refused_at_the_start_with_one_sentence(
    narrow: Settings, command: tuple[str, ...]
) -> None:
    done = subprocess.run([sys.executable, *command], env=environment(narrow), cwd=ROOT, capture_output=True,
                          text=True, timeout=60)

    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert "DATABASE_URL: the database 'test_" in sentence
    assert "keeps its texts in LATIN1" in sentence
    assert sentence.endswith("create it with ENCODING 'UTF8'")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_client_that_is_told_another_encoding_keeps_every_text(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    schema.upgrade(settings)
    from jobsched.ledger.database import ledger_app

    with ledger_app(settings).app_context():
        assert make_site(name="\U0001f600").name == "\U0001f600"
        with db.engine.connect() as connection:
            assert connection.scalar(text("SELECT name FROM sites")) == "\U0001f600"
        db.engine.dispose()
