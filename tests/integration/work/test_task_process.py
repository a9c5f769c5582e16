"""The task process: what its tasks fork, start and leave behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobsched.board import Board
from jobsched.config import Settings
from jobsched.work.runner import run_slice
from tests.engine import as_arguments, cut, draft, engine, job, post, starts
from tests.integration.work.rough_fixtures import TASKS, tallied
from tests.integration.work.rough_fixtures import variables as variables
from tests.integration.work.runner_fixtures import Run
from tests.integration.work.runner_fixtures import board as board
from tests.integration.work.runner_fixtures import run as run
from tests.integration.work.runner_fixtures import runner_here as runner_here
from tests.integration.work.runner_fixtures import settings as settings
from tests.support import eventually

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def none_lives(tmp_path: Path) -> bool:
    """Whether all processes whose ids are in the file ``pids`` are gone, zombies included."""
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert pids
    return not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.parametrize("late", [False, True])
def test_a_signal_that_is_not_the_workers_loses_no_slice(run: Run, tmp_path: Path, late: bool) -> None:
    signalled, after = run(draft("tells_itself_that_it_is_lost", late=late), tallied(tmp_path))

    assert (signalled.status, signalled.attempt, signalled.result) == ("completed", 1, "its own")
    assert (after.status, after.attempt) == ("completed", 1)


# A task that forks


@pytest.mark.parametrize("how", ["fork", "forkpty", "double"])
@pytest.mark.parametrize("child", ["exit", "exit with text", "return", "raise", "interrupt", "_exit", "exec", "die",
                                   "unserialisable"])
def test_a_task_that_forks_has_its_parents_result_and_its_neighbours_run_once(
    run: Run, tmp_path: Path, how: str, child: str
) -> None:
    before, forked, after = run(tallied(tmp_path), draft("forks", how=how, child=child), tallied(tmp_path))

    assert (forked.status, forked.result, forked.attempt) == ("completed", f"{forked.id}-1", 1)
    assert [(row.status, row.attempt) for row in (before, after)] == [("completed", 1)] * 2
    assert starts(tmp_path / "book") == {before.id: 1, after.id: 1}


@pytest.mark.parametrize("child", ["exit", "return", "raise", "exec"])
def test_a_fork_that_nobody_waits_for_changes_nothing(run: Run, tmp_path: Path, child: str) -> None:
    forked, after = run(draft("forks", child=child, wait=False), tallied(tmp_path))

    assert (forked.status, forked.result) == ("completed", f"{forked.id}-1")
    assert (after.status, after.attempt) == ("completed", 1)
    assert starts(tmp_path / "book") == {after.id: 1}


@pytest.mark.parametrize("where", ["items", "__del__", "__str__", "thread"])
def test_what_forks_when_it_is_looked_at_changes_nothing(run: Run, tmp_path: Path, where: str) -> None:
    before, forked, after = run(tallied(tmp_path), draft("forks_late", where=where), tallied(tmp_path))

    assert forked.status == ("failed" if where == "__str__" else "completed")
    assert "it forks" in str(forked.error) if where == "__str__" else forked.result == {"a": 1}
    assert [(row.status, row.attempt) for row in (before, after)] == [("completed", 1)] * 2
    assert starts(tmp_path / "book") == {before.id: 1, after.id: 1}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_work_in_a_task(settings: Settings, board: Board, method: str) -> None:
    ids = post(settings, board, *[draft("multiprocesses", method=method, execution_time=10.0)] * 2)
    (slice_,) = cut(board, "task_05", budget_s=100)
    run_slice(*as_arguments(slice_))
    rows = [job(id_) for id_ in ids]

    assert [(row.status, row.result) for row in rows] == [("completed", 42)] * 2


# What a task starts ends with it


@pytest.mark.parametrize("how", ["wait", "deaf"])
@pytest.mark.parametrize("task", ["starts_child", "starts_child_briefly"])
def test_a_stop_ends_what_the_start_has_started_before_the_next_may_begin(
    run: Run, board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, how: str
) -> None:
    """At the bound of its lane it is put into the next one; at its limit it fails: both are after its children."""
    lived: list[bool] = []
    place = Board.place

    def look_and_place(board: Board, jobs: Any, **told: Any) -> int:
        if (tmp_path / "pids").exists():
            lived.append(not none_lives(tmp_path))
        return place(board, jobs, **told)

    monkeypatch.setattr(Board, "place", look_and_place)

    pids = str(tmp_path / "pids")
    stopped, after = run(draft(task, pids=pids, how=how), draft("living", pids=pids))

    assert stopped.status == ("pending" if task == "starts_child" else "failed")
    assert lived == ([False] if task == "starts_child" else [])
    assert none_lives(tmp_path)
    assert (after.status, after.attempt, after.result) == ("completed", 1, [])


@pytest.mark.parametrize("how", ["left", "session", "daemon", "again and again"])
@pytest.mark.parametrize("then", ["return", "raise", "outlast", "die"])
def test_no_child_outlives_its_job_however_that_ends(run: Run, tmp_path: Path, how: str, then: str) -> None:
    pids = str(tmp_path / "pids")
    row, after = run(draft("starts_child", pids=pids, how=how, then=then), draft("living", pids=pids))

    assert row.status == {"return": "completed", "raise": "failed"}.get(then, "pending")
    assert none_lives(tmp_path)
    assert (after.status, after.attempt, after.result) == ("completed", 1, [])


def test_a_task_that_is_killed_leaves_no_child_to_its_retry(run: Run, tmp_path: Path) -> None:
    wish = draft("starts_child_and_never_stops", pids=str(tmp_path / "pids"), how="session", then="outlast")
    row, after = run(wish, draft(back=1))

    assert (row.status, row.attempt) == ("failed", 1)
    assert "was killed" in str(row.error)
    assert none_lives(tmp_path)
    assert (after.status, after.attempt) == ("completed", 1)


def test_no_zombie_is_left_by_a_job_to_the_next(run: Run) -> None:
    rows = run(*[draft("leaves_zombie")] * 3)

    assert [row.result for row in rows] == [0, 0, 0]


def test_children_of_others_are_left_alone(run: Run, tmp_path: Path) -> None:
    """The servers of the tests are children of the process that runs the slice here."""
    ours = {process.pid for process in psutil.Process().children(recursive=True)}

    run(draft("starts_child", pids=str(tmp_path / "pids"), how="left"))

    assert {process.pid for process in psutil.Process().children(recursive=True)} == ours


@pytest.mark.slow
def test_below_a_worker_nothing_is_left_of_tasks_that_have_ended_no_zombie_either(
    settings: Settings, board: Board, tmp_path: Path
) -> None:
    pids, last = {"pids": str(tmp_path / "pids")}, {"execution_time": 10.0}
    ids = post(settings, board, draft("starts_child_briefly", **pids, **last), draft("leaves_zombie", **last),
               *(draft("starts_child", how=how, then=then, **pids, **last)
                 for how, then in (("left", "return"), ("daemon", "raise"), ("session", "die"))))
    quick = {"JOBSCHED_TASKS": TASKS, "JOBSCHED_WORKERS": "1", "JOBSCHED_REPAIR_EVERY": "60"}
    with engine(settings, tmp_path, ("dispatcher", "worker"), **quick) as programs:
        (worker,) = eventually(lambda: psutil.Process(programs["worker"].pid).children(), 60)
        eventually(lambda: all(job(id_).status in ("completed", "failed") for id_ in ids), 60)
        eventually(lambda: worker.children(recursive=True) == [], 10)
        assert none_lives(tmp_path)
        assert worker.is_running()

    assert [job(id_).status for id_ in ids] == ["failed", "completed", "completed", "failed", "failed"]


def test_tasks_run_in_a_process_of_their_own(run: Run) -> None:
    first, second = run(draft("who"), draft("who"))

    assert first.result == second.result != os.getpid()


def test_a_worker_that_can_not_fork_tries_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fork, refused = os.fork, [OSError(errno.EAGAIN, "Resource temporarily unavailable")]

    def fork_at_the_second_try() -> int:
        if refused:
            raise refused.pop()
        return fork()

    monkeypatch.setattr("jobsched.work.task_process.os.fork", fork_at_the_second_try)

    (row,) = run(tallied(tmp_path))

    assert (row.status, row.attempt) == ("completed", 1)
    assert "could not fork for a task: [Errno 11] Resource temporarily unavailable" in caplog.text
