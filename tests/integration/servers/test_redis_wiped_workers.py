"""Redis is wiped under real workers: one log line each, no traceback, and every job ends once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from jobsched.board import Board
from jobsched.config import Settings
from jobsched.ledger.models import utcnow
from tests.engine import draft, engine, job, people, post, starts, until_completed
from tests.integration.requests import ON_SQLITE
from tests.support import eventually, install

pytestmark = ON_SQLITE


@pytest.fixture
def board(redis: Redis) -> Board:
    import tests.engine_tasks  # noqa: F401

    return install(Board(redis), "balanced")


def test_a_worker_whose_rq_job_is_wiped_records_what_it_ran_and_says_so(
    settings: Settings, ledger: object, board: Board, tmp_path: Path, redis: Redis
) -> None:
    people()
    book = tmp_path / "book"
    with engine(settings, tmp_path, ("dispatcher", "worker"), JOBSCHED_WORKERS="1") as running:
        (id_,) = post(settings, board, draft("tally", book=str(book), execution_time=1.0, seconds=1.0))
        eventually(lambda: job(id_).status == "running" and book.exists(), 40)
        redis.flushall()
        until_completed(1)
        eventually(lambda: "RQ's record of it is gone" in running["worker"].said(), 20)
        said = running["worker"].said()
    assert set(starts(book).values()) == {1}
    assert "Traceback" not in said


def test_jobs_that_are_due_on_a_lost_board_are_left_to_the_sweep_in_one_line(
    settings: Settings, ledger: object, board: Board, tmp_path: Path, redis: Redis
) -> None:
    people()
    with engine(settings, tmp_path, ("scheduler", "worker"), JOBSCHED_WORKERS="1") as running:
        eventually(lambda: board.presence.alive("worker"), 40)
        post(settings, board, replace(draft(), run_at=utcnow() + timedelta(seconds=3)))
        redis.delete(*redis.keys("jobsched*rules"))
        eventually(lambda: "was cut off" in running["worker"].said(), 60)
        said = running["worker"].said()
    assert "rebuild it from SQL" in said
    assert "Traceback" not in said
