"""The guarded writes, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from itertools import product
from threading import Barrier
from typing import Any

import pytest
from flask import Flask

from jobsched.domain import TRANSITIONS, Fence, Status
from jobsched.ledger import moves
from jobsched.ledger.database import patiently, reading, writing
from jobsched.ledger.models import Job, utcnow
from jobsched.ledger.moves import Outcome, move
from tests.engine import job, slice_of
from tests.support import make_job, make_user

pytestmark = pytest.mark.usefixtures("ledger")

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def outcome(job: int, attempt: int = 1, status: Status = Status.COMPLETED, **fields: Any) -> Outcome:
    return Outcome(**{"job": job, "attempt": attempt, "status": status, "started_at": NOW,
                      "finished_at": NOW + timedelta(seconds=2), "run_time": 2.0, **fields})


def running(attempt: int = 1, **fields: Any) -> int:
    return int(make_job(status=Status.RUNNING, attempt=attempt, **fields).id)


# Transitions


@pytest.mark.parametrize(("source", "target"), [(s, t) for s, t in product(Status, Status) if t in TRANSITIONS[s]])
def test_a_move_that_is_allowed_changes_only_jobs_of_its_source(source: Status, target: Status) -> None:
    jobs = {status: make_job(status=status).id for status in Status}

    with writing() as session:
        moved = session.execute(move(source, target)).rowcount  # type: ignore[attr-defined]

    assert moved == 1
    expected = {status: target if status is source else status for status in Status}
    assert {status: job(id_).status for status, id_ in jobs.items()} == expected


@pytest.mark.parametrize(("source", "target"), [(s, t) for s, t in product(Status, Status) if t not in TRANSITIONS[s]])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_move_that_is_not_allowed_is_refused(source: Status, target: Status) -> None:
    with pytest.raises(ValueError, match=f"from {source} to {target}"):
        move(source, target)


# The start fence


def test_start_returns_what_is_pending_at_its_attempt_in_the_order_of_the_slice() -> None:
    user = make_user()
    jobs = [make_job(user, execution_time=0.001 * i, payload={"i": i}).id for i in range(1, 6)]
    order = [jobs[3], jobs[0], jobs[4], jobs[2], jobs[1]]

    with writing() as session:
        started = moves.start(session, slice_of(order))

    assert [s.id for s in started] == order
    assert [s.attempt for s in started] == [1] * 5
    assert [s.payload["i"] for s in started] == [4, 1, 5, 3, 2]


def test_start_writes_down_its_slice() -> None:
    id_ = make_job().id

    with writing() as session:
        moves.start(session, slice_of([id_], id_="abc-7"))

    row = job(id_)
    assert (row.status, row.attempt, row.slice, row.points) == ("running", 1, "abc-7", 0)
    assert row.dispatched_at == datetime.fromtimestamp(1_700_000_000, tz=timezone.utc)
    assert row.started_at is not None
    assert abs(utcnow() - row.started_at) < timedelta(minutes=1)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.PENDING])
def test_start_skips_what_is_not_pending(status: Status) -> None:
    user = make_user()
    other, ours = make_job(user, status=status).id, make_job(user).id

    with writing() as session:
        started = moves.start(session, slice_of([other, ours]))

    assert [s.id for s in started] == [ours]
    assert (job(other).status, job(other).attempt) == (status, 0)


def test_start_skips_another_attempt_and_what_is_not_there() -> None:
    id_ = make_job(attempt=2).id

    with writing() as session:
        assert moves.start(session, slice_of([id_, id_ + 1000], attempt=1)) == []
        assert [s.attempt for s in moves.start(session, slice_of([id_], attempt=2))] == [3]


def test_a_slice_of_the_most_jobs_starts_whole() -> None:
    user = make_user()
    jobs = [make_job(user).id for _ in range(100)]

    with writing() as session:
        assert [s.id for s in moves.start(session, slice_of(jobs))] == jobs
        assert moves.start(session, slice_of(jobs)) == []


def at_once(app: Flask, *calls: Callable[[], Any]) -> list[Any]:
    """The results of calls made at the same moment, each on a connection of its own."""
    together = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        with app.app_context():
            together.wait(10)
            return patiently(call)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_of_starts_at_once_each_job_goes_to_one(ledger: Flask) -> None:
    user = make_user()
    jobs = [make_job(user).id for _ in range(60)]
    # Overlapping, and in opposite order: the ones wait for the others' rows.
    slices = [slice_of(jobs[:40], id_="a"), slice_of(jobs[:19:-1], id_="b"), slice_of(jobs, id_="c")]

    def start(of: Any) -> Callable[[], list[int]]:
        def call() -> list[int]:
            with writing() as session:
                return [s.id for s in moves.start(session, of)]

        return call

    taken = at_once(ledger, *map(start, slices))

    assert sorted(id_ for one in taken for id_ in one) == jobs
    for of, ids in zip(slices, taken, strict=True):
        assert {job(id_).slice for id_ in ids} <= {of.id}


# The finish fence


def test_finish_records_how_starts_ended() -> None:
    done, failed, again = running(), running(), running(attempt=2)
    later = NOW + timedelta(seconds=30)

    with writing() as session:
        recorded = moves.finish(session, [
            outcome(done, result={"n": [1, None, "ä"]}),
            outcome(failed, status=Status.FAILED, error="ValueError: no"),
            outcome(again, 2, Status.SCHEDULED, error="later", run_at=later),
        ])

    assert recorded == 3
    row = job(done)
    assert (row.status, row.result, row.error, row.run_time) == ("completed", {"n": [1, None, "ä"]}, None, 2.0)
    assert (row.started_at, row.finished_at) == (NOW, NOW + timedelta(seconds=2))
    assert (job(failed).status, job(failed).error) == ("failed", "ValueError: no")
    assert (job(again).status, job(again).run_at, job(again).attempt) == ("scheduled", later, 2)


@pytest.mark.parametrize("result", [None, 0, False, "", [], {}, 1.5, 2**62, "\x00", {"a": {"b": [1]}}])
def test_a_result_comes_back_as_it_was(result: Any) -> None:
    id_ = running()

    with writing() as session:
        moves.finish(session, [outcome(id_, result=result)])

    assert job(id_).result == result


def test_a_late_finish_changes_nothing() -> None:
    given_back, restarted = make_job(attempt=1).id, running(attempt=2)

    with writing() as session:
        assert moves.finish(session, [outcome(given_back, 1), outcome(restarted, 1)]) == 0

    assert (job(given_back).status, job(restarted).status) == ("pending", "running")


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.RUNNING])
def test_what_does_not_run_can_not_finish(status: Status) -> None:
    id_ = make_job(status=status, attempt=1).id

    with writing() as session:
        assert moves.finish(session, [outcome(id_, 1)]) == 0


def test_a_second_finish_is_counted_as_late() -> None:
    first, second = running(), running()

    with writing() as session:
        moves.finish(session, [outcome(first, result=1)])
        assert moves.finish(session, [outcome(first, result=2), outcome(second)]) == 1

    assert job(first).result == 1


@pytest.mark.parametrize("status", [Status.RUNNING, Status.CANCELLED])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_start_ends_in_a_status_that_may_not_follow(status: Status) -> None:
    with writing() as session, pytest.raises(ValueError, match="from running"):
        moves.finish(session, [outcome(1, status=status)])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nothing_to_finish_is_nothing() -> None:
    with writing() as session:
        assert moves.finish(session, []) == 0


def test_the_moment_that_a_job_was_scheduled_for_stays_known() -> None:
    id_ = running(run_at=NOW)

    with writing() as session:
        moves.finish(session, [outcome(id_)])

    assert job(id_).run_at == NOW


# Giving back


def test_give_back_makes_running_jobs_pending_and_fails_those_without_an_attempt_left() -> None:
    left, spent = running(attempt=2, max_attempts=3), running(attempt=3, max_attempts=3)

    with writing() as session:
        assert moves.give_back(session, [Fence(left, 2), Fence(spent, 3)], "it fell silent") == (1, 1)

    assert (job(left).status, job(left).error, job(left).attempt) == ("pending", "it fell silent", 2)
    assert (job(spent).status, job(spent).error) == ("failed", "it fell silent, and no attempt is left")
    assert job(spent).finished_at is not None


def test_give_back_leaves_another_attempt_and_what_does_not_run() -> None:
    user = make_user()
    other = running(attempt=2)
    idle = {status: make_job(user, status=status, attempt=1).id for status in Status if status is not Status.RUNNING}

    with writing() as session:
        fences = [Fence(other, 1), *(Fence(id_, 1) for id_ in idle.values())]
        assert moves.give_back(session, fences, "") == (0, 0)
        assert moves.give_back(session, [], "") == (0, 0)

    assert job(other).status == "running"
    assert {status: job(id_).status for status, id_ in idle.items()} == {status: status for status in idle}


def test_thousands_are_given_back_at_once() -> None:
    user = make_user()
    ours = make_job(user, status=Status.RUNNING, attempt=1).id

    with writing() as session:
        fences = [Fence(ours, 1), *(Fence(1_000_000 + i, 1) for i in range(5000))]
        assert moves.give_back(session, fences, "") == (1, 0)


# Waking


def test_wake_makes_due_jobs_pending_oldest_first_and_bounded() -> None:
    user = make_user()

    def at(seconds: int) -> int:
        return int(make_job(user, status=Status.SCHEDULED, run_at=NOW + timedelta(seconds=seconds)).id)

    later, due, long_due, now = at(1), at(-10), at(-20), at(0)

    with writing() as session:
        first = moves.wake(session, NOW, limit=2)
        rest = moves.wake(session, NOW, limit=10)
        none = moves.wake(session, NOW, limit=10)

    assert ({j.id for j in first}, {j.id for j in rest}, none) == ({due, long_due}, {now}, [])
    assert {j.id: j.enqueued_at for j in first} == {due: NOW.timestamp() - 10, long_due: NOW.timestamp() - 20}
    assert (job(due).status, job(later).status) == ("pending", "scheduled")


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("attempt", [1, 2])
def test_only_what_waits_at_its_attempt_is_rewritten_or_removed(status: Status, attempt: int) -> None:
    user = make_user()
    changed, gone = (make_job(user, status=status, attempt=1).id for _ in range(2))
    may = status in (Status.SCHEDULED, Status.PENDING) and attempt == 1

    with writing() as session:
        row = moves.rewrite(session, Fence(changed, attempt), {"status": Status.SCHEDULED, "band": "task_05"})
        removed = moves.remove(session, Fence(gone, attempt))

    assert (row is not None, removed) == (may, may)
    with reading() as session:
        kept = session.get_one(Job, changed)
        assert (kept.status, kept.band) == ((Status.SCHEDULED, "task_05") if may else (status, kept.band))
        assert (session.get(Job, gone) is None) is may


def test_a_waiting_job_is_rewritten_to_wait() -> None:
    with writing() as session, pytest.raises(ValueError, match="no job goes from"):
        moves.rewrite(session, Fence(1, 0), {"status": Status.COMPLETED})


def test_of_wakes_at_once_each_job_is_woken_by_one(ledger: Flask) -> None:
    user = make_user()
    due = [make_job(user, status=Status.SCHEDULED, run_at=NOW).id for _ in range(200)]

    def wake() -> list[int]:
        with writing() as session:
            return [j.id for j in moves.wake(session, NOW, 150)]

    woken = [id_ for one in at_once(ledger, wake, wake, wake) for id_ in one]

    assert len(set(woken)) == len(woken)
    assert set(woken) <= set(due)


# Cancel and retry


@pytest.mark.parametrize("status", Status)
def test_only_a_waiting_job_can_be_cancelled(status: Status) -> None:
    id_, waits = make_job(status=status).id, status in (Status.PENDING, Status.SCHEDULED)

    with writing() as session:
        assert moves.cancel(session, id_) is waits

    assert job(id_).status == ("cancelled" if waits else status)
    assert (job(id_).finished_at is not None) is waits


@pytest.mark.parametrize("status", Status)
def test_only_a_failed_or_cancelled_job_can_be_retried(status: Status) -> None:
    id_, may = make_job(status=status, attempt=3).id, status in (Status.FAILED, Status.CANCELLED)

    with writing() as session:
        assert moves.retry(session, id_, 3) is may

    assert job(id_).status == ("pending" if may else status)


def test_a_retried_job_forgets_how_it_ended_and_gets_new_attempts() -> None:
    id_ = make_job(status=Status.FAILED, attempt=3, max_attempts=3, run_at=NOW, finished_at=NOW, run_time=1.0,
                   result={"a": 1}, error="no", enqueued_at=NOW).id

    with writing() as session:
        moves.retry(session, id_, 5)

    row = job(id_)
    assert (row.attempt, row.max_attempts) == (3, 8)
    assert (row.run_at, row.finished_at, row.run_time, row.result, row.error) == (None,) * 5
    assert row.enqueued_at > NOW


# Reading


def test_pending_jobs_are_read_in_portions_by_id() -> None:
    user = make_user()
    jobs = [make_job(user, execution_time=0.02, attempt=i).id for i in range(5)]
    make_job(user, status=Status.RUNNING)

    with reading() as session:
        first = moves.pending(session, 0, 3)
        rest = moves.pending(session, first[-1].id, 3)

    assert [j.id for j in first + rest] == jobs
    assert (first[2].band, first[2].attempt, first[2].user) == ("task_03", 2, user.id)


def test_still_pending_tells_the_pending_ones() -> None:
    user = make_user()
    ours, other = make_job(user).id, make_job(user, status=Status.COMPLETED).id

    with reading() as session:
        assert [j.id for j in moves.still_pending(session, [ours, other, 10**9])] == [ours]
        assert moves.still_pending(session, []) == []


def test_running_in_tells_the_jobs_that_run_as_part_of_a_slice() -> None:
    user = make_user()
    ours = make_job(user, status=Status.RUNNING, attempt=2, slice="a-1").id
    elsewhere = make_job(user, status=Status.RUNNING, attempt=1, slice="a-2").id
    ended = make_job(user, status=Status.COMPLETED, attempt=1, slice="a-1").id

    with reading() as session:
        assert moves.running_in(session, "a-1", [ours, elsewhere, ended]) == [Fence(ours, 2)]


def test_running_tells_the_longest_running_jobs_first() -> None:
    user = make_user()
    jobs = [make_job(user, status=Status.RUNNING, attempt=1, started_at=NOW + timedelta(seconds=s)).id
            for s in (5, 1, 3, 9)]

    with reading() as session:
        assert [f.job for f in moves.running(session, NOW + timedelta(seconds=9), 2)] == [jobs[1], jobs[2]]
