"""The order of checks at a border, and whose clock counts."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from jobsched.board import Board
from jobsched.domain import WaitingJob
from jobsched.ledger.database import reading
from jobsched.ledger.models import Job
from tests.integration.requests import add_user, created
from tests.support import install, waiting_job

WISH = {"user": 1, "site": 1, "execution_time": 0.001}


@pytest.fixture
def placed(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """The jobs that were placed, and whether others could read them in SQL at that moment."""
    placed: list[tuple[int, bool]] = []
    place = Board.place

    def look_first(board: Board, jobs: Iterable[WaitingJob]) -> int:
        jobs = list(jobs)
        with reading() as session:
            placed.extend((job.id, session.get(Job, job.id) is not None) for job in jobs)
        return place(board, jobs)

    monkeypatch.setattr(Board, "place", look_first)
    return placed


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "ours"}])
def test_a_job_is_placed_only_when_its_row_is_committed(
    client: FlaskClient, placed: list[tuple[int, bool]], headers: dict[str, str]
) -> None:
    add_user(client)
    jobs: list[Any] = created(client.post("/jobs", json=[WISH, WISH], headers=headers))

    assert placed == [(job["id"], True) for job in jobs]


@pytest.mark.parametrize("away_s", [-3600.0, 3600.0])
def test_a_lease_ends_by_the_clock_of_redis_whatever_that_of_a_worker_says(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, away_s: float
) -> None:
    board = install(Board(redis), "balanced")
    board.place(waiting_job() for _ in range(3))
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + away_s)
    taken, renewed, silent = (board.take("task_04", 1, budget_s=0, lease_s=lease_s)[0].id for lease_s in (60, 60, 0))
    board.renew(renewed, 60)
    found_here = set(board.upkeep.expired(10))
    monkeypatch.undo()

    assert found_here == set(board.upkeep.expired(10)) == {silent}
    assert {taken, renewed} < set(board.upkeep.flying())
