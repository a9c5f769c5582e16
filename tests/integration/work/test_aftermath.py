"""The error and the result of a task are processed in bounded time, and do not reach other jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from jobsched.board import Board
from jobsched.config import Settings
from jobsched.work.errors import ERROR_BYTES
from tests import strange_tasks
from tests.engine import draft, engine, job, post
from tests.integration.work.runner_fixtures import Run, run_as_slice
from tests.integration.work.runner_fixtures import board as board
from tests.integration.work.runner_fixtures import runner_here as runner_here
from tests.integration.work.runner_fixtures import settings as settings
from tests.support import eventually

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
#: What is raised in __del__, also to stop it, Python prints.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
TASKS = "tests.engine_tasks,tests.strange_tasks"
#: Of the last lane, in which nothing overruns.
LAST: dict[str, Any] = {"execution_time": 10.0}


@pytest.fixture
def variables() -> dict[str, str]:
    """What the environment sets for the runner."""
    return {"JOBSCHED_TASKS": TASKS}


@pytest.fixture
def run(settings: Settings, board: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Submit jobs, take them as one slice, run it, and return their rows."""
    monkeypatch.chdir(tmp_path)
    return lambda *wishes: run_as_slice(settings, board, "task_05", wishes, budget_s=1_000)


@pytest.mark.parametrize("what", strange_tasks.ERRORS)
@only_sqlite
def test_a_strange_error_fails_its_job_with_its_own_words_and_no_neighbour(run: Run, what: str) -> None:
    before, strange, after = run(draft(back=1, **LAST), draft("raise_strangely", what=what, **LAST),
                                 draft(back=2, **LAST))

    assert (strange.status, strange.attempt) == ("failed", 1)
    assert strange_tasks.ERRORS[what][1] in str(strange.error)
    assert len(str(strange.error).encode()) <= ERROR_BYTES
    assert [(row.status, row.attempt, row.result) for row in (before, after)] == [
        ("completed", 1, 1), ("completed", 1, 2)]


@pytest.mark.parametrize("what", strange_tasks.RESULTS)
@only_sqlite
def test_a_strange_result_fails_its_job_at_once_for_good_and_no_neighbour(run: Run, what: str) -> None:
    """Whatever retries its task has: its work would be done again."""
    task = "return_much" if what in strange_tasks.MUCH else "return_strangely"
    strange, after = run(draft(task, what=what, **LAST), draft(back=2, **LAST))

    assert (strange.status, strange.attempt, strange.result) == ("failed", 1, None)
    assert strange_tasks.RESULTS[what][1] in str(strange.error)
    assert (after.status, after.attempt, after.result) == ("completed", 1, 2)


@pytest.mark.parametrize("what", strange_tasks.HARMLESS)
@only_sqlite
def test_a_result_of_classes_of_its_own_is_recorded_as_json_has_it(run: Run, what: str) -> None:
    strange, after = run(draft("return_strangely", what=what, **LAST), draft(back=2, **LAST))

    assert (strange.status, strange.result, strange.error) == ("completed", strange_tasks.HARMLESS[what][1], None)
    assert after.status == "completed"


@pytest.mark.parametrize(("task", "status", "error"), [
    ("deaf_result", "failed", "what it returned had no end, and its process was killed"),
    ("deaf_release", "completed", None),
])
@only_sqlite
def test_what_takes_no_stop_is_killed_and_recorded_all_the_same(
    settings: Settings, board: Board, tmp_path: Path, task: str, status: str, error: str | None
) -> None:
    strange, neighbour = post(settings, board, draft(task, **LAST), draft(back=2, **LAST))
    with engine(settings, tmp_path, JOBSCHED_TASKS=TASKS, JOBSCHED_WORKERS="1"):
        eventually(lambda: job(strange).status == status and job(neighbour).status == "completed", 60)

    assert (job(strange).attempt, job(strange).error) == (1, error)


def test_a_retry_that_no_calendar_holds_fails_its_job_and_leaves_its_neighbours_alone(run: Run) -> None:
    before, late, after = run(draft(back=1, **LAST), draft("retry_too_late", **LAST), draft(back=2, **LAST))

    assert (late.status, late.attempt) == ("failed", 1)
    assert "ValueError: its own error" in str(late.error)
    assert [(row.status, row.attempt) for row in (before, after)] == [("completed", 1), ("completed", 1)]


def test_a_long_error_keeps_its_type_and_both_ends(run: Run) -> None:
    (row,) = run(draft("boom", text="broken: " + "ü" * 100_000 + " the end", **LAST))

    assert row.error is not None
    assert "\nValueError: broken: üüü" in row.error
    assert row.error.endswith("üüü the end\n")
    assert len(row.error.encode()) <= ERROR_BYTES


@only_sqlite
def test_what_an_error_starts_to_find_its_words_ends_with_it(run: Run, tmp_path: Path) -> None:
    run(draft("raise_strangely", what="__str__ forks", **LAST))

    forked = int((tmp_path / "forked").read_text())
    eventually(lambda: not psutil.pid_exists(forked) or psutil.Process(forked).status() == psutil.STATUS_ZOMBIE)
