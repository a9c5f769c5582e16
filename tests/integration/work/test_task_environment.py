"""Tasks in real workers do not get the secrets of the worker's environment, unless JOBSCHED_TASK_ENV names them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from jobsched.board import Board
from jobsched.config import Settings
from tests import nosy_tasks
from tests.engine import draft, engine, environment, job, people, post, running, until_completed
from tests.support import install

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
BIN = Path(sys.executable).parent
OLD_KEYS = "one-of-last-year,one-of-the-year-before"
PLACES = ("at import", "now", "of a child", "for others", "of our worker")


@pytest.fixture
def board(redis: Redis, ledger: object) -> Board:
    people()
    return install(Board(redis), "balanced")


def variables(settings: Settings) -> dict[str, str]:
    return {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url, "SECRET_KEY": settings.secret_key,
            "SECRET_KEY_FALLBACKS": OLD_KEYS, "RQ_REDIS_URL": settings.redis_url}



def seen(settings: Settings, board: Board, *, worker: bool = True) -> Any:
    """What a task sees, by where it looks."""
    values = [*variables(settings).values()]
    work = draft("seek_secrets", execution_time=1.0, words=[*values, *OLD_KEYS.split(",")], worker=worker)
    [id_] = post(settings, board, work)
    until_completed(1)
    return job(id_).result


NOSY = {"JOBSCHED_TASKS": nosy_tasks.__name__, "JOBSCHED_WORKERS": "1"}


def test_tasks_find_no_secret(settings: Settings, board: Board, tmp_path: Path) -> None:
    env = {**variables(settings), **NOSY}
    with engine(settings, tmp_path, ("dispatcher", "worker"), **env):
        found = seen(settings, board)

    assert found == {place: [] for place in PLACES}


def test_tasks_find_what_is_named(settings: Settings, board: Board, tmp_path: Path) -> None:
    env = {**variables(settings), **NOSY, "JOBSCHED_TASK_ENV": "SECRET_KEY"}
    with engine(settings, tmp_path, ("dispatcher", "worker"), **env):
        found = seen(settings, board)

    assert found == {place: [settings.secret_key] for place in PLACES}


def test_tasks_of_a_plain_rq_worker_find_no_secret(settings: Settings, board: Board, tmp_path: Path) -> None:
    """But for what the worker itself still shows, which is RQ's."""
    argv = [str(BIN / "rq"), "worker", "--serializer", "json", "--job-class", "jobsched.queues.lanes.SliceJob",
            "--queue-class", "jobsched.queues.lanes.LaneQueue", "band-1s"]
    env = {**variables(settings), **NOSY}
    with (
        engine(settings, tmp_path, ("dispatcher",), **env),
        running(argv, environment(settings, **env), tmp_path / "worker.log"),
    ):
        found = seen(settings, board, worker=False)

    assert found == {place: [] for place in PLACES}


@pytest.mark.parametrize("how", ["worker", "up"])
def test_a_module_that_needs_a_secret_is_named_at_start(settings: Settings, tmp_path: Path, how: str) -> None:
    (tmp_path / "greedy.py").write_text("import os\nos.environ['REDIS_URL']\n")
    env = environment(settings, JOBSCHED_TASKS="greedy", PYTHONPATH=f"{Path.cwd()}:{tmp_path}")

    done = subprocess.run([sys.executable, "-m", "jobsched", how], env=env, capture_output=True, text=True, timeout=60)

    assert done.returncode == 2
    assert "JOBSCHED_TASKS='greedy': can not be imported: KeyError: 'REDIS_URL'" in done.stderr
    assert "tasks get REDIS_URL only where JOBSCHED_TASK_ENV names it" in done.stderr
    assert "Traceback" not in done.stderr
