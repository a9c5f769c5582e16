"""Which errors are bugs, and how they are logged."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3

import pytest
from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError
from sqlalchemy.exc import OperationalError, ProgrammingError

from jobsched.base import bugs
from jobsched.base.loop import run_forever
from jobsched.domain import BoardLost, Conflict

log = logging.getLogger("a part")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bugs, "_logged", set())


@pytest.mark.parametrize(("error", "expected"), [
    (ConnectionError("Error 111"), False),
    (TimeoutError("Timeout reading"), False),
    (ResponseError("OOM command not allowed"), False),
    (ResponseError("READONLY You can't write"), False),
    (ResponseError("WRONGTYPE Operation against a key"), True),
    (ResponseError("ERR wrong number of arguments"), True),
    (RedisError("what is this"), True),
    (OperationalError("SELECT 1", {}, sqlite3.OperationalError("database is locked")), False),
    (OperationalError("SELECT 1", {}, sqlite3.OperationalError("no such table: jobs")), False),
    (OperationalError("SELEC 1", {}, sqlite3.OperationalError('near "SELEC": syntax error')), True),
    (ProgrammingError("SELECT ?", {}, sqlite3.ProgrammingError("Incorrect number of bindings")), True),
    (BoardLost(), False),
    (Conflict("it runs"), False),
    (KeyError("band"), True),
])
def test_what_is_a_bug(error: Exception, expected: bool) -> None:
    assert bugs.is_bug(error) is expected


@pytest.mark.parametrize(("error", "expected"), [
    (OperationalError("SELECT 1", {}, sqlite3.OperationalError("no such table: jobs")),
     "the database has not the tables that this version needs: run jobsched migrate"),
    (OperationalError("SELECT 1", {}, sqlite3.OperationalError("database is locked")),
     "the database is locked by another writer"),
    (OperationalError("SELEC 1", {}, sqlite3.OperationalError('near "SELEC": syntax error')),
     'OperationalError: (sqlite3.OperationalError) near "SELEC": syntax error'),
    (ResponseError("ERR wrong number of arguments"), "ResponseError: ERR wrong number of arguments"),
    (ValueError("one\ntwo"), "ValueError: one"),
    (ValueError(), "ValueError"),
])
def test_an_error_is_said_in_one_line(error: Exception, expected: str) -> None:
    assert bugs.one_line(error) == expected


def fail(error: Exception) -> None:
    raise error


def told(caplog: pytest.LogCaptureFixture, error: Exception, what: str = "do it") -> list[str]:
    """What is logged of an error that is raised one line below."""
    caplog.clear()
    try:
        fail(error)
    except Exception as caught:
        bugs.log_once(log, what, caught)
    return caplog.text.splitlines()


def test_it_is_told_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    lines = told(caplog, ResponseError("WRONGTYPE one"))
    assert "could not do it; this is told once" in lines[0]
    assert "Traceback (most recent call last):" in lines
    assert lines[-1].endswith("ResponseError: WRONGTYPE one")
    assert told(caplog, ResponseError("WRONGTYPE two")) == []
    assert told(caplog, KeyError("band")) != []
    assert told(caplog, ResponseError("WRONGTYPE three"), "do something else") != []


def test_what_is_no_bug_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert told(caplog, ConnectionError("Error 111")) == []


def test_no_more_than_some_are_told(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(bugs.MOST):
        assert told(caplog, KeyError("a"), f"do {number}") != []
    assert told(caplog, KeyError("a"), "do one more") == []


def test_one_without_a_traceback_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    bugs.log_once(log, "do it", KeyError("a"))
    assert "KeyError" in caplog.text


def test_a_tick_that_raises_it_is_tried_again_and_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    ticks: list[int] = []

    def tick() -> float:
        ticks.append(1)
        if len(ticks) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            return 0.0
        raise KeyError("band")

    run_forever(tick, lambda _: None)
    assert caplog.text.count("tick failed, trying again") == 2
    assert caplog.text.count("Traceback (most recent call last):") == 1
