"""A job is submitted: from the request to the row to its place on the board."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy.orm import Session

from jobsched.board import Board
from jobsched.config import Settings
from jobsched.domain import Conflict, Invalid, NotFound, Status, WaitingJob
from jobsched.intake import submit
from jobsched.intake.drafts import JobDraft
from jobsched.ledger import moves
from jobsched.ledger.database import reading, writing
from jobsched.ledger.models import Job, UserRecord, utcnow
from tests.engine import cut, dead_redis, draft, drafts, insert, job, people, post, slice_of, statuses
from tests.support import install, make_job

pytestmark = pytest.mark.usefixtures("ledger", "task_names")


@pytest.fixture
def task_names() -> None:
    import tests.engine_tasks  # noqa: F401


@pytest.fixture
def board(redis: Redis) -> Board:
    return install(Board(redis), "balanced")


@pytest.fixture(autouse=True)
def _people(ledger: object) -> None:
    people(sites=3)


def end(id_: int, status: Status) -> None:
    """Make a job end, or run, behind everybody's back."""
    with writing() as session:
        session.get_one(Job, id_).status = status


# Creating


def test_a_job_is_a_row_and_a_place_on_the_board(settings: Settings, board: Board) -> None:
    first, second = post(settings, board, draft(execution_time=0.05, back=1), draft(site=2, user=3))

    row = job(first)
    assert (row.status, row.band, row.payload) == ("pending", "task_03", {"back": 1})
    assert (row.attempt, row.max_attempts) == (0, 3)
    assert row.enqueued_at == row.submitted_at
    assert board.view.standing(1).pending == {"task_03": 1}
    assert board.view.standing(2).pending == {"task_01": 1}
    assert board.upkeep.known([first, second]) == {first, second}


def test_rows_come_back_in_the_order_of_the_drafts(settings: Settings, board: Board) -> None:
    times = [0.001 * i for i in range(1, 300)]

    with writing() as session:
        rows = submit.insert_jobs(session, board, drafts(*(draft(execution_time=t) for t in times)), settings)

    assert [row.execution_time for row in rows] == times
    assert [row.id for row in rows] == sorted(row.id for row in rows)


def test_one_faulty_draft_keeps_all_out_and_every_fault_has_its_pointer(settings: Settings, board: Board) -> None:
    wishes = drafts(
        draft(), draft(user=77), draft(site=88), draft(execution_time=10.001), draft("no_such_task"),
        draft("neither", user=77, site=88, execution_time=1e9),
    )

    with pytest.raises(Invalid) as faults, writing() as session:
        submit.insert_jobs(session, board, wishes, settings)

    assert [error.pointer for error in faults.value.errors] == [
        "/1/user", "/2/site", "/3/execution_time", "/4/task", "/5/user", "/5/site", "/5/execution_time", "/5/task",
    ]
    assert "at most 10 s" in faults.value.errors[2].detail
    assert statuses() == {}


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_an_execution_time_that_is_no_time_is_a_fault(settings: Settings, board: Board, seconds: float) -> None:
    with pytest.raises(Invalid) as faults, writing() as session:
        submit.insert_jobs(session, board, drafts(draft(execution_time=seconds)), settings)

    assert [error.pointer for error in faults.value.errors] == ["/0/execution_time"]


# Estimates


def completed(*seconds: float) -> None:
    """Jobs of the task echo at some other site, which took so long."""
    with reading() as session:
        elsewhere = session.get_one(UserRecord, 3)
    for one in seconds:
        make_job(elsewhere, status=Status.COMPLETED, task="echo", run_time=one)


def unsaid(task: str = "echo", *, site: int = 1) -> JobDraft:
    return JobDraft(1, site, None, task)


def test_a_time_that_nobody_said_is_estimated_from_history(settings: Settings, board: Board) -> None:
    completed(0.02, 0.03)

    estimated, said = post(settings, board, unsaid(), draft(execution_time=0.5))

    row = job(estimated)
    assert (row.execution_time, row.estimated, row.band) == (0.03, True, "task_03")
    assert (job(said).execution_time, job(said).estimated) == (0.5, False)
    assert board.view.standing(1).pending == {"task_03": 1, "task_04": 1}


def test_an_estimate_beyond_the_last_band_is_cut_to_its_bound(settings: Settings) -> None:
    completed(99.0)

    (id_,) = insert(settings, unsaid())

    assert (job(id_).execution_time, job(id_).band) == (10.0, "task_05")


def test_without_history_the_time_is_needed_and_nothing_is_created(settings: Settings, board: Board) -> None:
    completed(0.1)

    with pytest.raises(Invalid) as faults, writing() as session:
        submit.insert_jobs(session, board, drafts(unsaid(), unsaid("tally"), unsaid("no_such_task"),
                                                   unsaid(site=88)), settings)

    assert [error.pointer for error in faults.value.errors] == ["/1/execution_time", "/2/task", "/3/site"]
    assert "no job of task 'tally' has completed yet" in faults.value.errors[0].detail
    assert statuses() == {"completed": 1}


def test_a_changed_job_without_a_time_is_estimated_anew(settings: Settings, board: Board) -> None:
    completed(0.02)
    (id_,) = post(settings, board, draft(execution_time=0.5))

    with writing() as session:
        changed = submit.change(session, board, id_, unsaid(), settings)

    assert (changed.execution_time, changed.estimated, changed.band) == (0.02, True, "task_03")
    assert board.view.standing(1).pending == {"task_03": 1}


def test_a_changed_job_that_says_its_time_is_not_estimated_any_more(settings: Settings, board: Board) -> None:
    completed(0.02)
    (id_,) = post(settings, board, unsaid())

    with writing() as session:
        changed = submit.change(session, board, id_, draft(execution_time=0.5), settings)

    assert (changed.execution_time, changed.estimated) == (0.5, False)


def test_nothing_to_create_is_nothing(settings: Settings, board: Board) -> None:
    with writing() as session:
        assert submit.insert_jobs(session, board, {}, settings) == []


def test_a_job_for_later_is_scheduled_with_a_wake_and_not_on_the_board(
    settings: Settings, board: Board, redis: Redis
) -> None:
    later = utcnow() + timedelta(hours=1)

    (id_,) = post(settings, board, JobDraft(1, 1, 0.001, "echo", run_at=later))

    row = job(id_)
    assert (row.status, row.run_at, row.enqueued_at) == ("scheduled", later, later)
    assert board.upkeep.known([id_]) == set()
    wakes = redis.zrange("rq:scheduler:scheduled_jobs", 0, -1, withscores=True)
    assert wakes == [(f"wake-{math.ceil(later.timestamp())}".encode(), float(math.ceil(later.timestamp())))]


def test_a_moment_that_has_passed_means_now(settings: Settings, board: Board) -> None:
    (id_,) = post(settings, board, JobDraft(1, 1, 0.001, "echo", run_at=utcnow() - timedelta(hours=1)))

    assert job(id_).status == "pending"
    assert job(id_).enqueued_at > utcnow() - timedelta(minutes=1)


def test_with_redis_away_a_job_is_committed_all_the_same(settings: Settings, tmp_path: Path) -> None:
    away = Board(dead_redis(tmp_path))

    (id_,) = post(settings, away, draft())
    (later,) = post(settings, away, JobDraft(1, 1, 0.001, "echo", run_at=utcnow() + timedelta(hours=1)))

    assert (job(id_).status, job(later).status) == ("pending", "scheduled")


def test_with_the_board_lost_a_job_is_committed_all_the_same(settings: Settings, redis: Redis) -> None:
    (id_,) = post(settings, Board(redis), draft())

    assert job(id_).status == "pending"


# Changing


def change(settings: Settings, board: Board, id_: int, wish: JobDraft) -> Job:
    with writing() as session:
        return submit.change(session, board, id_, wish, settings)


def test_a_changed_execution_time_moves_a_job_to_its_new_lane(settings: Settings, board: Board) -> None:
    (id_,) = post(settings, board, draft(execution_time=0.001))

    changed = change(settings, board, id_, draft("sleep", site=2, user=2, execution_time=5.0))

    assert (changed.band, changed.site_id, changed.task) == ("task_05", 2, "sleep")
    assert (job(id_).band, job(id_).site_id, job(id_).max_attempts) == ("task_05", 2, 3)
    assert board.view.standing(1).pending == {}
    assert board.view.standing(2).pending == {"task_05": 1}


def test_a_change_may_schedule_a_job_and_call_it_back(settings: Settings, board: Board) -> None:
    (id_,) = post(settings, board, draft())
    later = utcnow() + timedelta(hours=1)

    change(settings, board, id_, JobDraft(1, 1, 0.001, "echo", run_at=later))
    assert (job(id_).status, job(id_).run_at, board.upkeep.known([id_])) == ("scheduled", later, set())

    change(settings, board, id_, draft())
    assert (job(id_).status, job(id_).run_at, board.upkeep.known([id_])) == ("pending", None, {id_})


def test_a_change_keeps_when_the_job_was_submitted(settings: Settings, board: Board) -> None:
    (id_,) = post(settings, board, draft())
    before = job(id_).submitted_at

    change(settings, board, id_, draft(execution_time=0.5))

    assert job(id_).submitted_at == before


def test_a_job_that_was_handed_to_a_worker_can_not_be_changed_or_removed(settings: Settings, board: Board) -> None:
    (id_,) = post(settings, board, draft())
    cut(board, "task_01")

    with pytest.raises(Conflict, match="handed to a worker"):
        change(settings, board, id_, draft(execution_time=5.0))
    with pytest.raises(Conflict, match="handed to a worker"), writing() as session:
        submit.remove(session, board, id_)

    assert (job(id_).band, job(id_).status) == ("task_01", "pending")


@pytest.mark.parametrize("status", [Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.CANCELLED])
def test_a_job_that_does_not_wait_can_not_be_changed_or_removed(
    settings: Settings, board: Board, status: Status
) -> None:
    (id_,) = insert(settings, draft())
    end(id_, status)

    with pytest.raises(Conflict, match=f"is {status}"):
        change(settings, board, id_, draft(execution_time=5.0))
    with pytest.raises(Conflict, match=f"is {status}"), writing() as session:
        submit.remove(session, board, id_)

    assert (job(id_).band, job(id_).status) == ("task_01", status)


def test_a_change_that_is_refused_leaves_the_job_where_it_waits(settings: Settings, board: Board) -> None:
    (id_,) = post(settings, board, draft())

    with pytest.raises(Invalid):
        change(settings, board, id_, draft(site=88))

    assert (job(id_).site_id, board.upkeep.known([id_])) == (1, {id_})
    assert board.view.standing(1).pending == {"task_01": 1}


def test_what_is_not_there_can_not_be_touched(settings: Settings, board: Board) -> None:
    with pytest.raises(NotFound, match="no job 99"):
        change(settings, board, 99, draft())
    for call in (lambda s: submit.remove(s, board, 99), lambda s: submit.cancel(s, board, 99),
                 lambda s: submit.retry(s, board, 99, settings)):
        with pytest.raises(NotFound, match="no job 99"), writing() as session:
            call(session)


def test_with_redis_away_a_waiting_job_can_be_changed(settings: Settings, board: Board, tmp_path: Path) -> None:
    (id_,) = post(settings, board, draft())

    change(settings, Board(dead_redis(tmp_path)), id_, draft(execution_time=5.0))

    assert job(id_).band == "task_05"


# Removing, cancelling, retrying


def test_a_removed_job_is_gone_from_both(settings: Settings, board: Board) -> None:
    (id_,) = post(settings, board, draft())

    with writing() as session:
        submit.remove(session, board, id_)

    with reading() as session:
        assert session.get(Job, id_) is None
    assert board.upkeep.known([id_]) == set()
    assert board.view.lanes()[0].waiting == 0


def test_a_cancelled_job_leaves_the_board_and_comes_back_when_it_is_retried(settings: Settings, board: Board) -> None:
    (id_,) = post(settings, board, draft())

    with writing() as session:
        submit.cancel(session, board, id_)
    assert (job(id_).status, board.upkeep.known([id_])) == ("cancelled", set())

    with writing() as session:
        submit.retry(session, board, id_, settings)
    assert (job(id_).status, board.upkeep.known([id_])) == ("pending", {id_})


def test_a_job_in_flight_can_be_cancelled_and_is_then_not_started(settings: Settings, board: Board) -> None:
    (id_,) = post(settings, board, draft())
    (slice_,) = cut(board, "task_01")

    with writing() as session:
        submit.cancel(session, board, id_)

    with writing() as session:
        assert moves.start(session, slice_) == []
    assert job(id_).status == "cancelled"


@pytest.mark.parametrize(("status", "may"), [
    (Status.SCHEDULED, "cancel"), (Status.PENDING, "cancel"), (Status.RUNNING, None), (Status.COMPLETED, None),
    (Status.FAILED, "retry"), (Status.CANCELLED, "retry"),
])
def test_cancel_and_retry_say_in_which_state_a_job_is(
    settings: Settings, board: Board, status: Status, may: str | None
) -> None:
    def cancel(session: Session) -> Job:
        return submit.cancel(session, board, id_)

    def retry(session: Session) -> Job:
        return submit.retry(session, board, id_, settings)

    for move, after, text in ((cancel, "cancelled", "only a waiting"), (retry, "pending", "only a failed")):
        (id_,) = insert(settings, draft())
        end(id_, status)
        with writing() as session:
            if move.__name__ == may:
                assert move(session).status == after
            else:
                with pytest.raises(Conflict, match=f"job {id_} is {status}: {text}"):
                    move(session)
        assert job(id_).status == (after if move.__name__ == may else status)


def test_a_retried_job_that_a_worker_still_holds_is_placed_by_its_new_attempt(settings: Settings, board: Board) -> None:
    """It failed, its slice is still in flight with neighbours, and somebody retries it."""
    (id_,) = post(settings, board, draft())
    (slice_,) = cut(board, "task_01")
    with writing() as session:
        moves.start(session, slice_)
    end(id_, Status.FAILED)

    with writing() as session:
        submit.retry(session, board, id_, settings)
    board.settle(slice_.id, 0.001)

    with reading() as session:
        board.place(moves.still_pending(session, [id_]))  # as the sweep does
    (again,) = cut(board, "task_01")
    assert [(fence.job, fence.attempt) for fence in again.jobs] == [(id_, 1)]


def test_a_replaced_job_carries_its_new_attempt(settings: Settings, board: Board) -> None:
    """A sweep has placed the job as it was before it was started."""
    (id_,) = insert(settings, draft())
    with writing() as session:
        moves.start(session, slice_of([id_]))
    row = job(id_)
    board.place([WaitingJob(id_, 1, 1, "task_01", 0.001, 0, row.enqueued_at.timestamp())])
    end(id_, Status.FAILED)

    with writing() as session:
        submit.retry(session, board, id_, settings)

    (slice_,) = cut(board, "task_01")
    assert [fence.attempt for fence in slice_.jobs] == [1]
