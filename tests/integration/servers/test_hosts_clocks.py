"""A host whose clock is an hour off: nothing is lost or done twice, and jobs run at their requested times."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import sys
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import update

import jobsched.ledger.moves as the_ledger
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.domain import Status
from jobsched.host.embedded import free_port
from jobsched.intake import submit
from jobsched.intake.drafts import JobDraft
from jobsched.ledger import models
from jobsched.ledger.database import writing
from jobsched.ledger.models import Job, utcnow
from jobsched.ledger.moves import Outcome
from jobsched.queues import due as waking
from jobsched.queues.due import wake_due
from tests import clocks
from tests.clocks import or_skip
from tests.engine import (
    cut,
    draft,
    drafts,
    engine,
    environment,
    insert,
    job,
    people,
    post,
    running,
    starts,
    statuses,
)
from tests.support import eventually, install

#: The web, by a server that libfaketime does not keep from starting, as it does gunicorn.
WEB = """
import sys
from werkzeug.serving import run_simple
from jobsched.web.application import create_app
run_simple("127.0.0.1", int(sys.argv[1]), create_app(), threaded=True)
"""
HOUR = timedelta(hours=1)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
off = pytest.mark.parametrize("hours", [-1, 1])


@pytest.fixture
def board(redis: Redis) -> Board:
    import tests.engine_tasks  # noqa: F401

    return install(Board(redis), "balanced")


def be_off(patch: pytest.MonkeyPatch, hours: int) -> None:
    """Have what submits, wakes and records read a clock that is so many hours ahead."""
    for module in (models, waking, submit, the_ledger):
        if hasattr(module, "utcnow"):
            patch.setattr(module, "utcnow", lambda: utcnow() + hours * HOUR)


def later(minutes: float) -> JobDraft:
    return dataclasses.replace(draft("echo"), run_at=utcnow() + timedelta(minutes=minutes))


@on_postgresql
@off
def test_a_job_is_submitted_when_the_database_says_so(
    settings: Settings, ledger: object, board: Board, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    people()
    be_off(monkeypatch, hours)
    begun = utcnow()
    with writing() as session:
        now, soon, long_ago = submit.insert_jobs(
            session, board, drafts(draft("echo"), later(30), later(-30)), settings)
    assert (now.status, soon.status, long_ago.status) == ("pending", "scheduled", "pending")
    assert all(abs(row.submitted_at - begun) < HOUR / 2 for row in (now, soon, long_ago))


@on_postgresql
@off
def test_a_scheduled_job_is_woken_when_it_is_due_and_not_an_hour_off(
    settings: Settings, ledger: object, board: Board, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    people()
    _, due = insert(settings, later(30), later(30))
    with writing() as session:
        session.execute(update(Job).where(Job.id == due).values(run_at=utcnow() - timedelta(minutes=1)))
    be_off(monkeypatch, hours)

    assert wake_due(board) == 1
    assert job(due).status == "pending"


@on_postgresql
@off
def test_a_pause_before_a_retry_is_as_long_as_it_was_meant(
    settings: Settings, ledger: object, board: Board, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    people()
    post(settings, board, draft("echo"))
    (slice_,) = cut(board, "task_01")
    with writing() as session:
        (started,) = the_ledger.start(session, slice_, {"echo"})
        be_off(monkeypatch, hours)
        there = models.utcnow()
        the_ledger.finish(session, [Outcome(started.id, 1, Status.SCHEDULED, there, there, 0.1, error="boom",
                                            run_at=there + timedelta(minutes=5))])
    run_at = job(started.id).run_at
    assert run_at is not None
    assert timedelta(minutes=4) < run_at - utcnow() < timedelta(minutes=6)


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("HYPOTHESIS_PROFILE") != "long", reason="make test-long runs it: half a minute")
@on_postgresql
def test_hosts_whose_clocks_are_hours_apart_do_each_job_once(
    settings: Settings, ledger: object, board: Board, tmp_path: Path
) -> None:
    """One host goes right, one is an hour ahead and one behind. A lease that went by them would end at once."""
    people()
    book, port = tmp_path / "book", free_port()
    quick = {"JOBSCHED_WORKERS": "1", "JOBSCHED_REPAIR_EVERY": "0.5", "JOBSCHED_LEASE": "12"}
    asleep = insert(settings, later(30))
    with ExitStack() as hosts:
        for hours in (-1, 0, 1):
            (directory := tmp_path / f"host {hours}").mkdir()
            clock = or_skip(lambda directory=directory: clocks.clock(directory))
            clock.put(hours * 3600)
            hosts.enter_context(engine(settings, directory, ("dispatcher", "worker"), **quick, **clock.environment))
        hosts.enter_context(running([sys.executable, "-c", WEB, str(port)],
                                    environment(settings, **clock.environment), tmp_path / "web.log"))
        eventually(lambda: len(board.presence.alive("worker")) == len(board.presence.alive("dispatcher")) == 3, 60)
        eventually(lambda: answers(port), 60)
        work = {"task": "tally", "payload": {"book": str(book), "seconds": 0.1}}
        for _ in range(5):
            post(settings, board, *[draft("tally", execution_time=0.5, book=str(book), seconds=0.1)] * 2)
            assert ask(port, "POST", "/jobs", [{"user": 1, "site": 1, "execution_time": 0.5, **work}] * 2) == 201
        post(settings, board, *[draft("tally", execution_time=9.5, book=str(book), seconds=9.5)] * 3)
        eventually(lambda: statuses() == {"completed": 23, "scheduled": 1}, 90, every_s=0.2)
    assert starts(book) == dict.fromkeys(starts(book), 1)
    assert job(asleep[0]).status == "scheduled"
    for id_ in starts(book):
        row = job(id_)
        assert row.attempt == 1
        assert row.started_at is not None
        assert row.finished_at is not None
        assert abs(row.submitted_at - utcnow()) < HOUR / 2
        assert timedelta() <= row.finished_at - row.started_at < HOUR / 2
        assert row.run_time is not None
        assert 0.1 <= row.run_time < 60


def answers(port: int) -> bool:
    try:
        return ask(port, "GET", "/healthz") == http.client.OK
    except OSError:
        return False


def ask(port: int, method: str, path: str, body: Any = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, None if body is None else json.dumps(body),
                           {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()
