"""A slice in a worker: fences, outcomes, limits, the lease."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from jobsched.board import PREFIX, Aside, Board
from jobsched.config import Settings
from jobsched.domain import Fence, Slice, Status
from jobsched.intake import submit
from jobsched.ledger import moves
from jobsched.ledger.database import writing
from jobsched.ledger.models import Job
from jobsched.ledger.moves import Outcome
from jobsched.work import runner
from jobsched.work.errors import ERROR_BYTES
from jobsched.work.parent_loop import RECORD_EVERY_S
from jobsched.work.recording import record
from jobsched.work.runner import run_slice
from tests.engine import as_arguments, cut, draft, insert, job, post, slice_of, starts, statuses
from tests.integration.work.runner_fixtures import Run
from tests.integration.work.runner_fixtures import board as board
from tests.integration.work.runner_fixtures import run as run
from tests.integration.work.runner_fixtures import runner_here as runner_here
from tests.integration.work.runner_fixtures import settings as settings
from tests.support import eventually, install


@pytest.fixture
def lease_s() -> float:
    """The lease that the runner works with; a test may parametrize it."""
    return 8.0


@pytest.fixture
def variables(lease_s: float) -> dict[str, str]:
    """What the environment sets for the runner."""
    return {"JOBSCHED_LEASE": str(lease_s)}


def only_sqlite(function: Any) -> Any:
    return pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)(function)


# How a start ends


def test_a_slice_runs_its_jobs_records_them_and_leaves_the_board_empty(run: Run, board: Board) -> None:
    before = datetime.now(timezone.utc)
    first, second = run(draft(back={"n": 1}), draft(back=["ü"]))

    assert (first.status, first.result, first.error, first.attempt) == ("completed", {"n": 1}, None, 1)
    assert (second.status, second.result) == ("completed", ["ü"])
    for row in (first, second):
        moments = [before - timedelta(seconds=1), row.dispatched_at, row.started_at, row.finished_at]
        assert None not in moments
        assert moments == sorted(moments)  # type: ignore[type-var]
        assert row.run_time is not None
        assert row.run_time >= 0
        assert (row.points, row.slice is not None) == (1 + 1 + 2 * 5, True)  # tier Active, capacity 1, two of weight 5
    assert board.upkeep.flying() == {}
    assert board.upkeep.known([first.id, second.id]) == set()
    assert board.view.standing(1).running == 0


def test_a_task_that_raises_fails_its_job_with_the_traceback(run: Run) -> None:
    (row,) = run(draft("boom", text="no\x00luck \ud800"))

    assert (row.status, row.result, row.attempt) == ("failed", None, 1)
    assert row.error is not None
    assert row.error.startswith("Traceback")
    assert "ValueError: no\\0luck \\ud800" in row.error


def test_an_error_that_is_ours_is_recorded_as_its_sentence_whatever_it_holds(run: Run) -> None:
    (row,) = run(draft("refuse", text="no\x00luck \ud800 " + "x" * 10_000))

    assert row.status == "failed"
    assert row.error is not None
    assert "\x00" not in row.error
    assert len(row.error.encode()) <= ERROR_BYTES


def test_a_long_error_keeps_its_end(run: Run) -> None:
    (row,) = run(draft("boom", text="x" * 12_000 + "the end"))

    assert row.error is not None
    assert row.error.endswith("the end\n")
    assert "ValueError: xxx" in row.error
    assert len(row.error.encode()) <= ERROR_BYTES


def test_failing_neighbours_do_not_matter(run: Run) -> None:
    rows = run(draft("boom"), draft(back=1), draft("strange", what="nan"), draft("leave"), draft("raise_unusual"),
               draft("endless"), draft(back=2))

    assert [row.status for row in rows] == ["failed", "completed", *["failed"] * 4, "completed"]
    assert (rows[1].result, rows[6].result) == (1, 2)


@pytest.mark.parametrize(("what", "text"), [
    ("nan", "JSON can hold"), ("inf", "JSON can hold"), ("set", "JSON can hold"), ("bytes", "JSON can hold"),
    ("surrogate", "JSON can hold"), ("large", "at most 16384 bytes"), ("wide", "at most 16384 bytes"),
])
@only_sqlite
def test_a_result_that_can_not_be_recorded_fails_its_job(run: Run, what: str, text: str) -> None:
    (row,) = run(draft("strange", what=what))

    assert (row.status, row.result) == ("failed", None)
    assert row.error is not None
    assert row.error.startswith("a task must return ")
    assert text in row.error


@pytest.mark.parametrize("depth", [19, 20, 60, 100, *range(820, 1001, 60)])
@only_sqlite
def test_a_deep_result_is_recorded_or_fails_its_job_and_no_other(run: Run, depth: int) -> None:
    rows = run(draft("strange", what="deep", depth=depth), draft(back=1))

    assert rows[0].status == ("completed" if depth < 20 else "failed")  # the innermost is a level, too
    assert rows[1].status == "completed"


@pytest.mark.parametrize("code", [0, 1, "text"])
@only_sqlite
def test_sys_exit_fails_the_job_and_not_the_worker(run: Run, code: Any) -> None:
    failed, other = run(draft("leave", code=code), draft(back=1))

    assert (failed.status, other.status) == ("failed", "completed")
    assert "SystemExit" in str(failed.error)


@only_sqlite
def test_what_is_not_an_exception_fails_the_job_and_not_its_neighbours(run: Run) -> None:
    failed, other = run(draft("raise_unusual"), draft(back=1))

    assert (failed.status, other.status) == ("failed", "completed")
    assert "Unusual: not an Exception" in str(failed.error)


@only_sqlite
def test_a_task_that_this_worker_does_not_know_is_not_started_and_waits_aside(
    run: Run, settings: Settings, board: Board
) -> None:
    (id_,) = post(settings, board, draft())
    with writing() as session:
        session.get_one(Job, id_).task = "gone"
    (slice_,) = cut(board, "task_01")

    run_slice(*as_arguments(slice_))

    assert (job(id_).status, job(id_).attempt, job(id_).error) == ("pending", 0, None)
    assert isinstance(board.view.why(id_), Aside)


# Retries


def test_a_task_with_retries_is_scheduled_again_and_runs_again(run: Run, board: Board, redis: Redis) -> None:
    (row,) = run(draft("flaky", succeeds_at=3))

    assert (row.status, row.attempt, row.result) == ("scheduled", 1, None)
    assert "RuntimeError: attempt 1" in str(row.error)
    assert row.run_at is not None
    assert row.finished_at is not None
    assert row.run_at - row.finished_at == timedelta(seconds=0.1)
    assert redis.zcard("rq:scheduler:scheduled_jobs") == 1  # its wake

    for attempt, status in ((2, "scheduled"), (3, "completed")):
        assert eventually(runner.wake) == 1
        (slice_,) = cut(board, "task_01")
        run_slice(*as_arguments(slice_))
        row = job(row.id)
        assert (row.status, row.attempt) == (status, attempt)

    assert (row.result, row.error) == (3, None)


def test_a_task_whose_retries_are_used_up_has_failed(run: Run, board: Board) -> None:
    (row,) = run(draft("flaky", succeeds_at=99))
    for _ in range(2):
        eventually(runner.wake)
        (slice_,) = cut(board, "task_01")
        run_slice(*as_arguments(slice_))

    assert (job(row.id).status, job(row.id).attempt) == ("failed", 3)


# Fences


def test_a_slice_that_is_enqueued_twice_runs_once(settings: Settings, board: Board, tmp_path: Path) -> None:
    book = tmp_path / "book"
    ids = post(settings, board, *(draft("tally", book=str(book)) for _ in range(3)))
    (slice_,) = cut(board, "task_01")

    run_slice(*as_arguments(slice_))
    run_slice(*as_arguments(slice_))

    assert starts(book) == dict.fromkeys(ids, 1)
    assert statuses() == {"completed": 3}


def test_a_job_that_was_cancelled_in_flight_does_not_run(settings: Settings, board: Board, tmp_path: Path) -> None:
    book = tmp_path / "book"
    first, second = post(settings, board, *(draft("tally", book=str(book)) for _ in range(2)))
    (slice_,) = cut(board, "task_01")
    with writing() as session:
        submit.cancel(session, board, first)

    run_slice(*as_arguments(slice_))

    assert starts(book) == {second: 1}
    assert (job(first).status, job(second).status) == ("cancelled", "completed")
    assert board.upkeep.known([first, second]) == set()


def test_an_outcome_that_comes_too_late_is_not_recorded(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    (id_,) = insert(settings, draft())
    with writing() as session:
        (started,) = moves.start(session, slice_of([id_]))
        moves.give_back(session, [Fence(id_, 1)], "")
    now = datetime.now(timezone.utc)
    outcome = Outcome(id_, started.attempt, Status.COMPLETED, now, now, 0.0)

    assert record([outcome]) == 1

    assert job(id_).status == "pending"
    assert "1 of 1 outcomes came too late" in caplog.text


@only_sqlite
def test_the_board_forgotten_the_jobs_run_all_the_same(settings: Settings, board: Board, redis: Redis) -> None:
    (id_,) = post(settings, board, draft(back=1))
    (slice_,) = cut(board, "task_01")
    redis.flushall()

    run_slice(*as_arguments(slice_))

    assert job(id_).status == "completed"


# While it runs

#: Of the last lane, in which nothing overruns.
LONG: dict[str, Any] = {"execution_time": 10.0}


def in_background(slice_: Slice, while_it_runs: Callable[[], Any]) -> None:
    """Run a slice on the main thread, as a worker does, and something else beside it."""
    errors: list[BaseException] = []

    def beside() -> None:
        try:
            with runner.runtime().app.app_context():
                while_it_runs()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=beside)
    thread.start()
    try:
        run_slice(*as_arguments(slice_))
    finally:
        thread.join()
    assert errors == []


@pytest.mark.parametrize("lease_s", [0.3])
@only_sqlite
def test_the_lease_is_renewed_for_as_long_as_a_task_runs(settings: Settings, board: Board, tmp_path: Path,
                                                         redis: Redis) -> None:
    (id_,) = post(settings, board, draft("hold", **LONG, here=str(tmp_path / "here"), go=str(tmp_path / "go")))
    (slice_,) = cut(board, "task_05", budget_s=100, lease_s=0.3)
    leases: list[float] = []

    def seen_four() -> bool:
        lease = redis.zscore(f"{PREFIX}flight", slice_.id)
        if lease is not None and lease not in leases:
            leases.append(lease)
        return len(leases) == 4

    def watch() -> None:
        try:
            eventually((tmp_path / "here-1").exists)
            eventually(seen_four)
        finally:
            (tmp_path / "go").touch()

    in_background(slice_, watch)

    assert len(leases) == 4
    assert leases == sorted(leases)
    assert job(id_).status == "completed"
    assert board.upkeep.flying() == {}


@pytest.mark.parametrize("lease_s", [0.3])
@only_sqlite
def test_a_slice_that_the_board_forgot_is_put_back_while_it_runs(
    settings: Settings, board: Board, tmp_path: Path, redis: Redis
) -> None:
    held, waiting = post(settings, board, draft("hold", **LONG, here=str(tmp_path / "here"), go=str(tmp_path / "go")),
                         draft(site=2, user=2, **LONG))
    taken = board.take("task_05", 2, budget_s=0.1, lease_s=60)
    slice_ = next(one for one in taken if one.jobs[0].job == held)

    def lose() -> None:
        try:
            eventually((tmp_path / "here-1").exists)
            redis.flushall()
            install(board, "balanced")
            # A sweep that read SQL before the start puts the job on the board a second time.
            board.place([moves.waiting_job(job(held))])
            eventually(lambda: board.holds(slice_.id))
            assert board.upkeep.flying() == {slice_.id: ("task_05", [held])}
            assert board.view.standing(1).pending == {}
            assert board.view.standing(1).running == 1
            assert (board.view.lanes()[4].waiting, board.view.lanes()[4].flying) == (0, 1)
            assert board.take("task_05", 5, budget_s=0.1, lease_s=60) == []
            assert board.upkeep.recount(1) + board.upkeep.recount_lanes(100) == 0
        finally:
            (tmp_path / "go").touch()

    in_background(slice_, lose)

    assert (job(held).status, job(held).attempt, job(waiting).status) == ("completed", 1, "pending")
    assert board.upkeep.flying() == {}
    assert board.view.standing(1).running == 0
    assert board.upkeep.recount(1) + board.upkeep.recount_lanes(100) == 0


@pytest.mark.parametrize("lease_s", [0.3])
@only_sqlite
def test_a_task_whose_slice_was_taken_back_is_stopped(
    settings: Settings, board: Board, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ids = post(settings, board, *(draft("hold", **LONG, here=str(tmp_path / f"here{i}"), go=str(tmp_path / "go"))
                                  for i in range(2)))
    (slice_,) = cut(board, "task_05", budget_s=100)

    def take_back() -> None:
        eventually((tmp_path / "here0-1").exists)
        with writing() as session:
            moves.give_back(session, [Fence(id_, 1) for id_ in ids], "")
        board.settle(slice_.id, None)

    in_background(slice_, take_back)

    assert [job(id_).status for id_ in ids] == ["pending", "pending"]
    assert not (tmp_path / "here1-1").exists()  # the second was not begun
    assert "did not stop" not in caplog.text  # it was told, and not killed


@pytest.mark.parametrize("lease_s", [0.3])
@only_sqlite
def test_a_task_that_catches_every_exception_is_stopped_as_well(
    settings: Settings, board: Board, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (id_,) = post(settings, board, draft("cling", **LONG, here=str(tmp_path / "here")))
    (slice_,) = cut(board, "task_05", budget_s=100)

    def take_back() -> None:
        eventually((tmp_path / "here").exists)
        with writing() as session:
            moves.give_back(session, [Fence(id_, 1)], "")
        board.settle(slice_.id, None)

    in_background(slice_, take_back)

    assert job(id_).status == "pending"
    assert "did not stop" not in caplog.text  # it was told, and not killed


def test_outcomes_do_not_wait_for_a_slow_neighbour_that_follows_later(
    settings: Settings, board: Board, tmp_path: Path
) -> None:
    """What has ended is recorded RECORD_EVERY_S later, while the next job still runs."""
    noted = {"book": str(tmp_path / "book"), "seconds": RECORD_EVERY_S}
    first, slow, held = post(settings, board, draft(back=1, **LONG), draft("tally", **LONG, **noted),
                             draft("hold", **LONG, here=str(tmp_path / "here"), go=str(tmp_path / "go")))
    (slice_,) = cut(board, "task_05", budget_s=100)

    def look() -> None:
        try:
            eventually((tmp_path / "here-1").exists)
            seen = ["completed", "completed", "running"]
            eventually(lambda: [job(id_).status for id_ in (first, slow, held)] == seen)
        finally:
            (tmp_path / "go").touch()

    in_background(slice_, look)

    assert job(held).status == "completed"
