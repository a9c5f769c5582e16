"""A bug is not reported as an unreachable Redis: if work continues after it, its traceback is logged once."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from jobsched.base import bugs
from jobsched.board import Board, without_redis
from jobsched.board.view import View
from jobsched.cli import main
from jobsched.config import Settings
from jobsched.intake import controls
from jobsched.staffing.replan import Planner
from tests.engine import draft as a_draft
from tests.engine import people, post
from tests.integration.requests import ON_SQLITE, board_of
from tests.support import install

pytestmark = ON_SQLITE


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bugs, "_logged", set())


def wrong(*_: object, **__: object) -> None:
    """A statement of ours that Redis does not understand."""
    raise ResponseError("ERR wrong number of arguments for 'hget' command")


def tracebacks(caplog: pytest.LogCaptureFixture) -> int:
    return caplog.text.count("Traceback (most recent call last):")


def test_metrics_tell_it(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(board_of(client).presence, "alive", wrong)
    for _ in range(3):
        assert "jobsched_redis_up 0.0" in client.get("/metrics").text
    assert tracebacks(caplog) == 1
    assert "could not tell the metrics of redis; this is told once" in caplog.text


@pytest.mark.parametrize("path", ["/readyz", "/"])
def test_pages_tell_it(
    client: FlaskClient, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(board_of(client), "probe", wrong)
    for _ in range(3):
        client.get(path, headers={"Accept": "application/json" if path == "/readyz" else "text/html"})
    assert tracebacks(caplog) == 1


def test_a_job_is_accepted_all_the_same_and_it_is_told(
    settings: Settings, ledger: object, redis: Redis, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import tests.engine_tasks  # noqa: F401

    board = install(Board(redis), "balanced")
    people()
    monkeypatch.setattr(board, "place", wrong)
    for _ in range(3):
        post(settings, board, a_draft("echo"))
    assert caplog.text.count("could not place jobs, the sweep will") == 3
    assert tracebacks(caplog) == 1
    assert without_redis.log.name in caplog.text


def test_the_policy_of_the_settings_holds_and_it_is_told(
    settings: Settings, ledger: object, redis: Redis, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    board = install(Board(redis), "fifo")
    monkeypatch.setattr(board.rules, "read", wrong)
    assert controls.in_force(board, settings).policy.name == settings.policy
    assert tracebacks(caplog) == 1


def test_workers_keep_their_plan_and_it_is_told(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(View, "lanes", wrong)
    for _ in range(3):
        assert len(Planner(settings).slots) == settings.workers
    assert tracebacks(caplog) == 1


def test_plan_does_not_say_that_redis_does_not_answer(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(View, "lanes", wrong)
    ran = CliRunner(env={"REDIS_URL": settings.redis_url, "JOBSCHED_HOME": str(settings.home)}).invoke(main, ["plan"])
    assert "does not answer" not in ran.output
    assert isinstance(ran.exception, RedisError)


def test_plan_says_why_redis_does_not_serve(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise ResponseError("OOM command not allowed when used memory > 'maxmemory'.")

    monkeypatch.setattr(View, "lanes", full)
    ran = CliRunner(env={"REDIS_URL": settings.redis_url, "JOBSCHED_HOME": str(settings.home)}).invoke(main, ["plan"])
    assert ran.exit_code == 1
    assert "jobsched: the load is not known: Redis refuses: it is full" in ran.output
