"""What happens to a slice when its task process dies or writes unusable notes."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from jobsched.board import Board
from jobsched.config import Settings
from jobsched.work.runner import run_slice
from tests import rough_tasks
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

HERE = "at job 2 of the 3 of its slice"
UNREAD = "what it returned can not be read"


@pytest.mark.parametrize(("how", "told"), [
    ("segv", f"its process was killed by SIGSEGV (signal 11, segmentation fault), {HERE}"),
    ("abort", f"its process was killed by SIGABRT (signal 6, aborted), {HERE}"),
    ("kill", f"its process was killed by SIGKILL (signal 9, killed), {HERE}: by hand, or because memory ran out"),
    ("term", f"its process was killed by SIGTERM (signal 15, terminated), {HERE}"),
    ("real time", f"its process was killed by signal {signal.SIGRTMIN + 3}, {HERE}"),
    ("_exit 0", f"its task ended its process with exit status 0, {HERE}"),
    ("_exit 3", f"its task ended its process with exit status 3, {HERE}"),
    ("in a thread", f"its task ended its process with exit status 4, {HERE}"),
    ("exec", f"its task ended its process with exit status 5, {HERE}"),
    ("close everything", f"its task ended its process with exit status 6, {HERE}"),
    ("daemonise", f"its task ended its process with exit status 0, {HERE}"),
])
def test_a_dead_process_says_how_it_died_and_at_which_job_and_its_neighbours_are_not_blamed(
    run: Run, settings: Settings, board: Board, tmp_path: Path, how: str, told: str
) -> None:
    before, dead, after = run(tallied(tmp_path), draft("dies", how=how), tallied(tmp_path))

    assert [(row.status, row.attempt) for row in (before, dead, after)] == [
        ("completed", 1), ("pending", 1), ("completed", 1)]
    assert starts(tmp_path / "book") == {before.id: 1, after.id: 1}
    assert dead.error == told
    assert board.view.standing(1).pending == {"task_01": 1}  # placed at once
    assert board.upkeep.flying() == {}
    assert board.upkeep.recount(1) + board.upkeep.recount_lanes(100) == 0


@pytest.mark.parametrize(("where", "how", "status", "told"), [
    ("items", "segv", "failed", f"{UNREAD}: its process was killed by SIGSEGV (signal 11, segmentation fault), {HERE}"),
    ("items", "_exit 0", "failed", f"{UNREAD}: its task ended its process with exit status 0, {HERE}"),
    ("__del__", "segv", "completed", None),
    ("__del__", "_exit 3", "completed", None),
    ("error", "kill", "failed", "its own words"),
])
def test_a_process_that_dies_of_what_a_task_left_has_the_tasks_end_recorded(
    run: Run, tmp_path: Path, where: str, how: str, status: str, told: str | None
) -> None:
    before, dead, after = run(tallied(tmp_path), draft("dies_late", where=where, how=how), tallied(tmp_path))

    assert (dead.status, dead.attempt) == (status, 1)  # its work is not done again
    assert str(dead.error).rstrip().endswith(str(told))
    assert dead.result == ({"a": 1} if status == "completed" else None)
    assert [(row.status, row.attempt) for row in (before, after)] == [("completed", 1)] * 2
    assert starts(tmp_path / "book") == {before.id: 1, after.id: 1}


@pytest.mark.parametrize("what", rough_tasks.SCRIBBLES)
def test_a_task_that_writes_over_the_notes_of_its_process_ends_no_job_but_its_own(
    run: Run, board: Board, tmp_path: Path, what: str
) -> None:
    """Its neighbours may be cut off with it; they run again, and none of them twice at one attempt."""
    before, scribbler, after = run(tallied(tmp_path), draft("scribbles", what=what, book=str(tmp_path / "scribbled")),
                                   tallied(tmp_path))
    ids = [before.id, scribbler.id, after.id]
    while any(job(id_).status == "pending" for id_ in ids):
        (slice_,) = cut(board, "task_01", budget_s=10)
        run_slice(*as_arguments(slice_))

    rows = [job(id_) for id_ in ids]
    assert [(row.status, row.result) for row in (rows[0], rows[2])] == [("completed", None)] * 2
    if what == "a far end":  # its task has returned, and is not run again because that could not be noted
        assert (rows[1].status, rows[1].attempt) == ("failed", 1)
        assert str(rows[1].error).startswith(UNREAD)
    else:
        assert (rows[1].status, rows[1].result) == ("completed", "the scribbler's")
    assert max(row.attempt for row in rows) <= 2
    made = (tmp_path / "book").read_text().splitlines()
    assert len(set(made)) == len(made)
    assert board.upkeep.recount(1) + board.upkeep.recount_lanes(100) == 0


def test_a_job_whose_process_dies_at_each_attempt_fails_with_how_it_died(
    run: Run, settings: Settings, board: Board
) -> None:
    (dead,) = run(draft("dies", how="segv"))
    for _ in range(settings.max_attempts - 1):
        (slice_,) = cut(board, "task_01")
        run_slice(*as_arguments(slice_))

    row = job(dead.id)
    assert (row.status, row.attempt) == ("failed", settings.max_attempts)
    assert row.error == ("its process was killed by SIGSEGV (signal 11, segmentation fault), at job 1 of the 1 of its "
                         "slice, and no attempt is left")
    assert board.view.standing(1).pending == {}


@pytest.mark.slow
def test_in_a_worker_a_process_that_dies_takes_nobody_with_it(
    settings: Settings, board: Board, tmp_path: Path
) -> None:
    book = {"book": str(tmp_path / "book")}
    ids = post(settings, board, draft("tally", **book), draft("dies", how="segv"), draft("tally", **book),
               draft("dies", how="_exit 0"), draft("tally", **book))
    quick = {"JOBSCHED_TASKS": TASKS, "JOBSCHED_WORKERS": "1", "JOBSCHED_REPAIR_EVERY": "60"}
    with engine(settings, tmp_path, ("dispatcher", "worker"), **quick) as programs:
        workers = eventually(lambda: [p.pid for p in psutil.Process(programs["worker"].pid).children()], 60)
        eventually(lambda: all(job(id_).status in ("completed", "failed") for id_ in ids), 60)
        assert [p.pid for p in psutil.Process(programs["worker"].pid).children()] == workers

    assert [(job(id_).status, job(id_).attempt) for id_ in ids] == [
        ("completed", 1), ("failed", 3), ("completed", 1), ("failed", 3), ("completed", 1)]
    assert starts(tmp_path / "book") == {ids[0]: 1, ids[2]: 1, ids[4]: 1}
    assert "SIGSEGV" in str(job(ids[1]).error)
    assert "exit status 0" in str(job(ids[3]).error)
