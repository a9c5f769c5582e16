"""A start that outlasts its lane moves to the next lane, fails, or runs on, by JOBSCHED_OVERRUN; or meets its limit."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from jobsched.board import PREFIX, Board
from jobsched.config import Settings
from jobsched.intake import submit
from jobsched.ledger.database import writing
from jobsched.ledger.models import Job
from jobsched.work import runner
from jobsched.work.runner import run_slice
from tests.engine import as_arguments, cut, draft, engine, job, post, starts, until_completed
from tests.integration.work.runner_fixtures import board as board
from tests.integration.work.runner_fixtures import runner_here as runner_here
from tests.integration.work.runner_fixtures import settings as settings
from tests.support import eventually

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
#: An attempt that no job gets to.
NEVER = 99


@pytest.fixture
def overrun() -> str:
    """JOBSCHED_OVERRUN; a test may parametrize it."""
    return "demote"


@pytest.fixture
def variables(overrun: str) -> dict[str, str]:
    """What the environment sets for the runner."""
    return {"JOBSCHED_OVERRUN": overrun}


@pytest.fixture
def run(board: Board) -> Callable[..., list[Job]]:
    """Take the one slice of a lane, run it, and return the rows of its jobs."""

    def take_and_run(band: str = "task_01") -> list[Job]:
        (slice_,) = cut(board, band, budget_s=100)
        run_slice(*as_arguments(slice_))
        return [job(fence.job) for fence in slice_.jobs]

    return take_and_run


Run = Callable[..., list[Job]]


# Demoted


def test_a_start_that_overruns_is_put_into_the_next_lane_and_its_neighbours_are_left_alone(
    settings: Settings, board: Board, run: Run
) -> None:
    ids = post(settings, board, draft(back=1), draft("outlast", ends_at=2), draft(back=2))

    first, demoted, last = run()

    assert [row.id for row in (first, demoted, last)] == ids
    assert (first.status, last.status) == ("completed", "completed")
    assert (demoted.status, demoted.band, demoted.overruns, demoted.execution_time) == ("pending", "task_02", 1, 0.001)
    assert (demoted.attempt, demoted.max_attempts) == (1, settings.max_attempts + 1)  # a fence, and no attempt lost
    assert demoted.error == ("took longer than 0.251 s, which is the bound of task_01 and 250 ms of grace; "
                             "0.001 s were estimated; put into task_02")
    assert demoted.finished_at is None
    assert demoted.run_time is not None
    assert demoted.run_time > 0.25
    assert demoted.enqueued_at > first.enqueued_at
    assert board.view.standing(1).pending == {"task_02": 1}  # placed at once
    assert board.upkeep.flying() == {}

    (ended,) = run("task_02")

    assert (ended.status, ended.result, ended.error) == ("completed", f"{ended.id}-2", None)
    assert (ended.band, ended.overruns, ended.attempt) == ("task_02", 1, 2)
    assert board.upkeep.recount(1) + board.upkeep.recount_lanes(100) == 0


def test_the_lane_that_was_overrun_is_charged_for_it(settings: Settings, board: Board, run: Run, redis: Redis) -> None:
    post(settings, board, draft("outlast", ends_at=2))
    before = float(redis.hget(f"{PREFIX}site:1", "tag:task_01") or 0)

    run()

    assert float(redis.hget(f"{PREFIX}site:1", "tag:task_01") or 0) - before > 0.25


@only_sqlite
def test_a_demoted_job_is_dispatched_as_one_that_takes_as_long_as_it_did(
    settings: Settings, board: Board, run: Run
) -> None:
    """Two that said 1 ms, and took over 250, are no work for one slice of 100 ms."""
    ids = post(settings, board, draft("outlast", ends_at=2), draft("outlast", ends_at=2))
    run()

    slices = cut(board, "task_02", slices=5, budget_s=0.1)

    assert sorted(fence.job for slice_ in slices for fence in slice_.jobs) == ids
    assert len(slices) == 2


@only_sqlite
def test_from_lane_to_lane_up_to_the_last_in_which_it_may_go_on(settings: Settings, board: Board, run: Run) -> None:
    post(settings, board, draft("outlast", execution_time=0.01, ends_at=3))
    (second,) = run("task_02")
    (third,) = run("task_03")
    assert (second.band, third.band, third.overruns, third.attempt) == ("task_03", "task_04", 2, 2)
    assert third.max_attempts == settings.max_attempts + 2

    (last,) = run("task_04")

    assert (last.status, last.result) == ("completed", f"{last.id}-3")


@only_sqlite
def test_in_the_last_lane_a_start_has_until_its_limit(settings: Settings, board: Board, run: Run) -> None:
    post(settings, board, draft("outlast_briefly", execution_time=10.0))

    (row,) = run("task_05")

    assert (row.status, row.band, row.error) == ("failed", "task_05", "took longer than its limit of 0.1 s")


@only_sqlite
def test_the_limit_of_a_task_comes_first_where_it_is_shorter(settings: Settings, board: Board, run: Run) -> None:
    post(settings, board, draft("outlast_briefly"))

    (row,) = run()

    assert (row.status, row.overruns, row.error) == ("failed", 0, "took longer than its limit of 0.1 s")


def test_work_that_must_not_repeat_makes_the_overrun_an_attempt(settings: Settings, board: Board, run: Run) -> None:
    post(settings, board, draft("outlast", ends_at=2, once=True))

    (row,) = run()

    assert (row.status, row.band, row.attempt, row.max_attempts) == ("pending", "task_02", 1, settings.max_attempts)


def test_work_that_must_not_repeat_fails_when_no_attempt_is_left(settings: Settings, board: Board, run: Run) -> None:
    (id_,) = post(settings, board, draft("outlast", ends_at=NEVER, once=True))
    with writing() as session:
        session.get_one(Job, id_).max_attempts = 1

    (row,) = run()

    assert (row.status, row.band, row.overruns) == ("failed", "task_01", 0)
    assert str(row.error).startswith("took longer than 0.251 s")
    assert str(row.error).endswith("its work must not repeat, and no attempt is left")
    assert board.view.standing(1).pending == {}


@only_sqlite
def test_an_error_on_the_way_out_is_an_overrun_all_the_same(settings: Settings, board: Board, run: Run) -> None:
    post(settings, board, draft("outlast", ends_at=2, stopped="break"))

    (row,) = run()

    assert (row.status, row.band) == ("pending", "task_02")


@only_sqlite
def test_a_task_that_swallows_the_stop_and_returns_has_completed(settings: Settings, board: Board, run: Run) -> None:
    post(settings, board, draft("outlast", ends_at=2, stopped="swallow"))

    (row,) = run()

    assert (row.status, row.result, row.overruns) == ("completed", "swallowed", 0)


@only_sqlite
def test_a_task_that_swallows_the_stop_and_goes_on_is_stopped_at_its_limit(
    settings: Settings, board: Board, run: Run
) -> None:
    post(settings, board, draft("unstopped_once"))

    (row,) = run()

    assert (row.status, row.error) == ("failed", "took longer than its limit of 0.5 s")


@only_sqlite
def test_overruns_use_up_none_of_a_tasks_own_retries(settings: Settings, board: Board, run: Run) -> None:
    post(settings, board, draft("outlast_with_retries", ends_at=3))
    run()

    (row,) = run("task_02")  # its second start raises, which is its first failure

    assert (row.status, row.attempt, row.band) == ("scheduled", 2, "task_02")
    assert row.run_at is not None
    assert row.finished_at is not None
    assert (row.run_at - row.finished_at).total_seconds() == pytest.approx(0.1)
    assert eventually(runner.wake) == 1
    (ended,) = run("task_02")
    assert (ended.status, ended.attempt) == ("completed", 3)


def test_a_demoted_job_that_is_rewritten_starts_over(settings: Settings, board: Board, run: Run) -> None:
    (id_,) = post(settings, board, draft("outlast", ends_at=2))
    run()

    with writing() as session:
        changed = submit.change(session, board, id_, draft("outlast", ends_at=2), settings)

    assert (changed.band, changed.overruns) == ("task_01", 0)
    assert board.view.standing(1).pending == {"task_01": 1}


# Failed, or let run


@pytest.mark.parametrize("overrun", ["fail"])
@pytest.mark.parametrize(("execution_time", "band", "bound"), [
    (0.001, "task_01", "0.251 s"), (0.02, "task_03", "0.35 s"),
])
def test_where_it_is_to_fail_the_error_names_the_bound_and_the_estimate(
    settings: Settings, board: Board, run: Run, execution_time: float, band: str, bound: str
) -> None:
    post(settings, board, draft("outlast", execution_time=execution_time, ends_at=NEVER))

    (row,) = run(band)

    assert (row.status, row.band, row.overruns) == ("failed", band, 0)
    assert row.error == (f"took longer than {bound}, which is the bound of {band} and 250 ms of grace; "
                         f"{execution_time:g} s were estimated")


@pytest.mark.parametrize("overrun", ["fail"])
@only_sqlite
def test_where_it_is_to_fail_a_task_with_retries_ends_as_well(settings: Settings, board: Board, run: Run) -> None:
    post(settings, board, draft("outlast_with_retries", ends_at=2))

    (row,) = run()

    assert (row.status, row.attempt, row.band, row.overruns) == ("failed", 1, "task_01", 0)
    assert row.run_at is None


@pytest.mark.parametrize("overrun", ["allow"])
@only_sqlite
def test_where_it_is_allowed_a_start_goes_on_past_its_bound(
    settings: Settings, board: Board, run: Run, tmp_path: Path
) -> None:
    post(settings, board, draft("tally", book=str(tmp_path / "book"), seconds=0.3))

    (row,) = run()

    assert (row.status, row.band, row.overruns) == ("completed", "task_01", 0)


# The time limit


@pytest.mark.parametrize("task", ["endless", "stubborn"])
@only_sqlite
def test_a_task_is_stopped_at_its_limit(settings: Settings, board: Board, run: Run, task: str) -> None:
    post(settings, board, draft(task))

    (row,) = run()

    assert (row.status, row.error) == ("failed", "took longer than its limit of 0.2 s")


@pytest.mark.parametrize("task", ["endless", "outlast"])
@only_sqlite
def test_no_alarm_is_left_behind(settings: Settings, board: Board, run: Run, task: str) -> None:
    before = signal.getsignal(signal.SIGALRM)
    post(settings, board, draft(task, ends_at=NEVER), draft())

    run()

    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


# A worker process


@pytest.mark.slow
def test_a_job_that_lies_about_its_length_ends_in_a_longer_lane(
    settings: Settings, board: Board, tmp_path: Path
) -> None:
    quick = {"JOBSCHED_WORKERS": "2", "JOBSCHED_LEASE": "2", "JOBSCHED_REPAIR_EVERY": "60"}
    book = {"book": str(tmp_path / "book")}
    with engine(settings, tmp_path, ("dispatcher", "worker"), **quick):
        honest, liar = post(settings, board, draft("tally", **book), draft("tally", seconds=0.27, **book))
        until_completed(2)

    assert (job(honest).band, job(honest).attempt) == ("task_01", 1)
    row = job(liar)
    assert row.band in ("task_03", "task_04")  # 0.27 s: over 0.001 and 0.01 with their grace, and as a rule under 0.1
    assert row.attempt == row.overruns + 1 == starts(tmp_path / "book")[liar]
    eventually(lambda: board.upkeep.flying() == {})
