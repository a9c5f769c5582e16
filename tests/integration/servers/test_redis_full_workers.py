"""Real workers on a Redis that is full, and later has room again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis

from jobsched.base.connections import connect
from jobsched.board import Board
from jobsched.config import Settings, load
from jobsched.ledger.models import db
from tests.engine import TASKS, all_completed, draft, engine, job, people, post, starts
from tests.integration.requests import ON_SQLITE
from tests.servers import running_redis
from tests.support import eventually, install

pytestmark = ON_SQLITE


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    import tests.engine_tasks  # noqa: F401

    with running_redis() as server:
        yield load({"JOBSCHED_HOME": str(tmp_path), "DATABASE_URL": settings.database_url, "REDIS_URL": server.url,
                    "SECRET_KEY": "only-for-tests", "JOBSCHED_TASKS": TASKS})


def test_workers_sit_a_full_redis_out_and_every_job_runs_once(own: Settings, ledger: object, tmp_path: Path) -> None:
    people()
    book = tmp_path / "book"
    quick = {"JOBSCHED_WORKERS": "2", "JOBSCHED_LEASE": "2", "JOBSCHED_REPAIR_EVERY": "0.5"}
    with Redis.from_url(own.redis_url) as admin, connect(own.redis_url, patient=False) as redis:
        board = install(Board(redis), "balanced")
        with engine(own, tmp_path, ("dispatcher", "worker"), **quick) as running:
            eventually(lambda: len(board.presence.alive("worker")) == 2, 40)
            before = workers_of(running["worker"].pid)
            post(own, board, *[draft("tally", book=str(book), execution_time=0.3, seconds=0.2) for _ in range(10)])
            eventually(lambda: book.exists(), 40)
            admin.config_set("maxmemory", "1mb")

            late = post(own, board, *[draft("tally", book=str(book), execution_time=0.3, seconds=0.0)] * 5)
            eventually(lambda: "full" in running["worker"].said() and "full" in running["dispatcher"].said(), 60)
            assert {job(id_).status for id_ in late} == {"pending"}
            assert workers_of(running["worker"].pid) == before

            admin.config_set("maxmemory", "0")
            eventually(lambda: all_completed(15), 60)
            assert workers_of(running["worker"].pid) == before
        assert set(starts(book).values()) == {1}
        assert "Traceback" not in running["worker"].said() + running["dispatcher"].said()
    db.session.remove()


def workers_of(pid: int) -> set[int]:
    """The worker processes under ``worker.py``, without the horses below them."""
    return {child.pid for child in psutil.Process(pid).children()}
