"""The board without forecasts: nothing is learnt, and everything else is the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from redis import Redis

from jobsched.board import PREFIX, Board, scripts
from tests.integration.board.test_properties import compare_after, steps
from tests.support import install, take, waiting_job


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "LISTENERS", {})


@pytest.mark.parametrize("policy", ["balanced", "priority"])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_without_listeners_the_board_is_where_the_model_is(policy: str, steps: list[Any], redis: Redis) -> None:
    compare_after(policy, steps, redis)


def test_without_listeners_no_script_writes_what_forecasts_keep(redis: Redis) -> None:
    board = install(Board(redis), "balanced")
    board.place(waiting_job() for _ in range(9))
    first, second = take(board, slices=2)
    assert board.renew(first.id, 9.0)
    assert board.set_aside(second.id, {second.jobs[0].job: "task"}) == 1
    assert board.settle(first.id, 1.0)
    assert redis.exists(f"{PREFIX}jobs")
    assert not redis.exists(f"{PREFIX}asked", f"{PREFIX}aims")
    assert not redis.hexists(f"{PREFIX}site:1", "pace:task_04")
