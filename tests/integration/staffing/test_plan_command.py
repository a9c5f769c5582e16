"""``jobsched plan``: workers by lane for the load that the board has seen."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from jobsched.board import Board
from jobsched.cli import main
from jobsched.config import Settings
from jobsched.domain import SiteFacts
from tests.integration.requests import ON_SQLITE
from tests.support import install, waiting_job

pytestmark = ON_SQLITE


@pytest.fixture
def board(redis: Redis) -> Board:
    """A board on Redis's own clock, as the command sees it."""
    return install(Board(redis), "balanced")


def ran(board: Board, seconds: Sequence[float], *, execution_time: float = 1.0) -> None:
    """Jobs that come, are taken in slices of one, and take these seconds."""
    board.place([waiting_job(execution_time=execution_time) for _ in seconds])
    band = next(lane.band for lane in board.view.lanes() if lane.waiting)
    slices = board.take(band, len(seconds), budget_s=0.0, lease_s=60.0)
    for slice_, used in zip(slices, seconds, strict=True):
        board.settle(slice_.id, used)


def plan(settings: Settings, *args: str) -> Result:
    return CliRunner(env={"REDIS_URL": settings.redis_url, "JOBSCHED_HOME": str(settings.home)}).invoke(
        main, ["plan", *args])


def test_workers_go_where_the_load_is(settings: Settings, board: Board) -> None:
    ran(board, [0.8] * 30)
    ran(board, [0.01] * 10, execution_time=5.0)
    board.place([waiting_job(execution_time=4.0)])

    result = plan(settings, "--workers", "4", "--json")

    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    lanes = {lane["lane"]: lane for lane in found["lanes"]}
    assert (found["workers"], found["seen"]) == (4, True)
    assert (lanes["1s"]["own"], lanes["1s"]["helps"], lanes["10s"]["own"], lanes["10s"]["helps"]) == (3, 1, 1, 0)
    assert (lanes["1s"]["mean_s"], lanes["1s"]["mean_from"]) == (pytest.approx(0.8), "measured")
    assert lanes["1s"]["load"] == pytest.approx(0.8 * lanes["1s"]["arrivals_per_s"])
    assert lanes["10s"]["backlog_s"] == 4.0
    assert [len(slot["own"]) for slot in found["slots"]] == [4, 4, 4, 1]
    assert "needed" not in found


def test_a_target_for_the_wait_takes_so_many_workers_in_each_lane(settings: Settings, board: Board) -> None:
    ran(board, [0.8] * 30)

    loose, tight = (json.loads(plan(settings, "--wait", wait, "--json").output) for wait in ("1", "0.001"))

    assert [lane["needed"] for lane in loose["lanes"]] == [0, 0, 0, loose["needed"], 0]
    assert loose["lanes"][3]["load"] < loose["needed"] < tight["needed"]
    assert loose["workers"] == settings.workers


def test_a_mean_that_is_assumed_says_so(settings: Settings, board: Board) -> None:
    board.place([waiting_job(execution_time=0.3) for _ in range(4)])

    result = plan(settings)

    assert "*0.3" in result.output
    assert "* 1s: no job of this lane has ended lately: this is the mean estimate of its waiting jobs" in result.output


def test_what_is_held_is_told_and_no_worker_is_planned_for_it(settings: Settings, board: Board) -> None:
    board.update_sites([SiteFacts(1, 1, paused=True)])
    board.place([waiting_job(site=1, execution_time=10.0) for _ in range(300)])

    said, found = plan(settings).output, json.loads(plan(settings, "--json").output)

    assert "pauses and limits hold 3,000 s of the backlog; no worker is planned for it" in said
    assert (found["seen"], found["wanted"]) == (False, 1)
    assert (found["lanes"][4]["backlog_s"], found["lanes"][4]["held_s"]) == (3000.0, 3000.0)


def test_without_any_load_it_says_so_and_prints_the_plan_that_holds(settings: Settings, board: Board) -> None:
    result = plan(settings, "--workers", "4")

    assert "No load lately: 4 workers" in result.output
    assert "plan: 1 for 1ms and 10ms and 100ms and 1s, 3 for 10s" in result.output
    assert json.loads(plan(settings, "--json").output)["seen"] is False


def test_it_needs_a_board(settings: Settings, redis: Redis) -> None:
    result = plan(settings)

    assert result.exit_code == 1
    assert "the board has no rules" in result.output


def test_without_redis_it_says_so(settings: Settings) -> None:
    result = CliRunner(env={"REDIS_URL": f"unix://{settings.home}/nobody.sock"}).invoke(main, ["plan"])

    assert result.exit_code == 1
    assert "Redis does not answer" in result.output
