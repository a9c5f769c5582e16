"""A host's plan follows the load on the board, and survives an unreachable Redis."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from redis import Redis

from jobsched.board import PREFIX, Board
from jobsched.config import Settings
from jobsched.staffing import replan
from jobsched.staffing.plan import Slot, slots
from jobsched.staffing.replan import AGREED, Planner
from tests.integration.requests import ON_SQLITE
from tests.support import BANDS, install, waiting_job

pytestmark = ON_SQLITE


@pytest.fixture
def board(redis: Redis) -> Board:
    return install(Board(redis), "balanced")


@pytest.fixture(autouse=True)
def _no_pause_between_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replan, "LOOK_S", 0.0)


def ran(board: Board, execution_time: float, used_s: float, jobs: int = 20) -> None:
    """Jobs that came, and took so long each."""
    board.place([waiting_job(execution_time=execution_time) for _ in range(jobs)])
    band = next(lane.band for lane in board.view.lanes() if lane.waiting)
    for slice_ in board.take(band, jobs, budget_s=0.0, lease_s=60.0):
        board.settle(slice_.id, used_s)


def on_longest(plan: Sequence[Slot]) -> int:
    return sum(BANDS[4] in slot.own for slot in plan)


def test_without_a_load_the_plan_is_that_of_even_lanes(settings: Settings, board: Board) -> None:
    planner = Planner(settings)

    assert not any(planner.changed() for _ in range(2 * AGREED))
    assert list(planner.slots) == slots(settings.workers, BANDS)


def test_a_planner_starts_with_the_load_that_the_board_has_seen(settings: Settings, board: Board) -> None:
    ran(board, 0.5, 0.5)

    assert on_longest(Planner(settings).slots) == 1


def test_the_plan_changes_once_the_mix_has_shifted_for_some_looks(settings: Settings, board: Board) -> None:
    planner = Planner(settings)
    ran(board, 0.5, 0.5)

    assert [planner.changed() for _ in range(AGREED + 2)] == [False] * (AGREED - 1) + [True, False, False]
    assert on_longest(planner.slots) == 1


def test_the_load_is_left_alone_between_two_looks(
    settings: Settings, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replan, "LOOK_S", 3600.0)
    planner = Planner(settings)
    ran(board, 0.5, 0.5)

    assert not any(planner.changed() for _ in range(2 * AGREED))


def test_the_plan_stays_when_nothing_more_comes(settings: Settings, board: Board, redis: Redis) -> None:
    ran(board, 0.5, 0.5)
    planner = Planner(settings)
    (load,) = redis.keys(f"{PREFIX}load:*")
    redis.hset(load, "at", str(redis.time()[0] - 10_000))

    assert not any(planner.changed() for _ in range(2 * AGREED))
    assert on_longest(planner.slots) == 1


def test_too_few_jobs_change_nothing(settings: Settings, board: Board, redis: Redis) -> None:
    planner = Planner(settings)
    redis.hset(f"{PREFIX}load:task_03", mapping={
        "at": str(redis.time()[0]), "since": str(redis.time()[0] - 10_000), "arrived": "5", "ended": "5",
        "used": "5", "squares": "5"})

    assert not any(planner.changed() for _ in range(2 * AGREED))


def test_a_host_plans_for_its_share_of_the_load(settings: Settings, board: Board) -> None:
    # In what counts as 10 s: loads of 2.7, and of 1.05 in the longest lane, which is 1.1 of 4 workers
    ran(board, 1.0, 1.0, jobs=26)
    ran(board, 2.0, 0.5, jobs=20)
    alone = Planner(settings)
    for number in range(5 * settings.workers):
        board.presence.beat("worker", f"elsewhere-{number}", 60.0)

    shared = Planner(settings)

    assert on_longest(alone.slots) == 2  # one could not keep up
    assert on_longest(shared.slots) == 1  # a fifth of it leaves one idle for most of the time


@pytest.fixture
def deaf(tmp_path: Path) -> Iterator[str]:
    """The URL of a server that takes connections, and never answers."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "deaf.sock"))
        server.listen()
        yield f"unix://{tmp_path}/deaf.sock"


def test_a_redis_that_is_away_or_deaf_leaves_the_plan_as_it_is(settings: Settings, deaf: str, tmp_path: Path) -> None:
    for url in (f"unix://{tmp_path}/nobody.sock", deaf):
        planner = Planner(dataclasses.replace(settings, redis_url=url))

        assert not planner.changed()
        assert list(planner.slots) == slots(settings.workers, BANDS)


def test_nonsense_on_the_board_leaves_the_plan_as_it_is(settings: Settings, board: Board, redis: Redis) -> None:
    planner = Planner(settings)
    for nonsense in ("nan", "inf", "many", "1e308"):
        redis.hset(f"{PREFIX}load:task_03", mapping=dict.fromkeys(
            ("at", "since", "arrived", "ended", "used", "squares"), nonsense))

        assert not planner.changed()
    assert list(planner.slots) == slots(settings.workers, BANDS)


def test_after_an_error_the_load_is_left_alone_for_longer(
    settings: Settings, board: Board, monkeypatch: pytest.MonkeyPatch, redis: Redis
) -> None:
    planner = Planner(settings)
    monkeypatch.setattr(replan, "AWAY_S", 3600.0)
    redis.client_pause(2000)

    assert not planner.changed()
    ran(board, 0.5, 0.5)
    assert not any(planner.changed() for _ in range(2 * AGREED))


def test_a_lost_board_leaves_the_plan_as_it_is(settings: Settings, board: Board, redis: Redis) -> None:
    ran(board, 0.5, 0.5)
    planner = Planner(settings)
    redis.flushall()

    assert not any(planner.changed() for _ in range(2 * AGREED))
    assert on_longest(planner.slots) == 1
