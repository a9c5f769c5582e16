"""A runner in the test's own process whose tasks are rough ones, for the modules to import whose tests run them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jobsched.board import Board
from jobsched.config import Settings
from jobsched.intake import submit
from jobsched.ledger.models import Job
from jobsched.work.runner import run_slice
from tests.engine import as_arguments, cut, draft, job, post

TASKS = "tests.engine_tasks,tests.rough_tasks"

Run = Callable[..., list[Job]]


@pytest.fixture
def variables() -> dict[str, str]:
    """What the environment sets for the runner."""
    return {"JOBSCHED_TASKS": TASKS, "JOBSCHED_OVERRUN_GRACE": "1500"}  # to fork may take its time


@pytest.fixture
def run(settings: Settings, board: Board) -> Callable[..., list[Job]]:
    """Submit jobs, take them as one slice, run it, and return their rows."""

    def submit_and_run(*wishes: submit.JobDraft) -> list[Job]:
        ids = post(settings, board, *wishes)
        (slice_,) = cut(board, "task_01", budget_s=10)
        assert [fence.job for fence in slice_.jobs] == ids
        run_slice(*as_arguments(slice_))
        return [job(id_) for id_ in ids]

    return submit_and_run


def tallied(tmp_path: Path) -> submit.JobDraft:
    return draft("tally", book=str(tmp_path / "book"))
