"""What follows a start of a job."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from jobsched import tasks
from jobsched.config import Settings, load
from jobsched.domain import Bands, Status
from jobsched.ledger.moves import Outcome, StartedJob
from jobsched.work import outcomes
from jobsched.work.outcomes import Start

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def _tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_tasks", dict(tasks._tasks))
    tasks.task(name="again", retries=2, backoff_s=3.0)(lambda payload: None)
    tasks.task(name="once")(lambda payload: None)


def settings(overrun: str = "demote") -> Settings:
    return load({"JOBSCHED_OVERRUN": overrun, "JOBSCHED_OVERRUN_GRACE": "100"})


def start(band: str = "task_01", *, may_repeat: bool = True, **job: Any) -> Start:
    started = StartedJob(**{"id": 7, "attempt": 1, "max_attempts": 3, "site": 1, "user": 1, "task": "once",
                            "payload": {}, "execution_time": 0.001, "band": band, **job})
    return Start(started, NOW - timedelta(seconds=2), NOW, 2.0, may_repeat)


# Limits


@pytest.mark.parametrize(("band", "limit_s"), [
    ("task_01", 30.0), ("task_04", 30.0), ("task_05", 100.0), ("gone", 50.0),
])
def test_without_one_of_its_own_a_task_may_take_ten_times_its_bound(band: str, limit_s: float) -> None:
    assert outcomes.limit_s(start(band, execution_time=5.0).job, settings()) == limit_s


@pytest.mark.parametrize(("overrun", "band", "after_s"), [
    ("demote", "task_01", 0.101), ("demote", "task_04", 1.1), ("demote", "task_05", None), ("demote", "gone", None),
    ("fail", "task_01", 0.101), ("fail", "task_05", 10.1), ("fail", "gone", None),
    ("allow", "task_01", None), ("allow", "task_05", None),
])
def test_a_start_overruns_its_lane_after_its_bound_and_the_grace(
    overrun: str, band: str, after_s: float | None
) -> None:
    assert outcomes.overrun_s(start(band).job, settings(overrun)) == pytest.approx(after_s)


# How starts end


def test_a_result_completes_the_job() -> None:
    assert outcomes.of_result(start(), {"n": 1}) == Outcome(
        7, 1, Status.COMPLETED, NOW - timedelta(seconds=2), NOW, 2.0, {"n": 1})


@pytest.mark.parametrize(("task", "attempt", "overruns", "status", "delay_s"), [
    ("once", 1, 0, "failed", None),
    ("gone", 1, 0, "failed", None),
    ("again", 1, 0, "scheduled", 3.0),
    ("again", 2, 0, "scheduled", 6.0),
    ("again", 2, 1, "scheduled", 3.0),  # its first start overran
    ("again", 3, 0, "failed", None),  # no attempt left
])
def test_a_start_that_raises_is_tried_again_while_retries_and_attempts_are_left(
    task: str, attempt: int, overruns: int, status: str, delay_s: float | None
) -> None:
    ended = outcomes.of_failure(start(task=task, attempt=attempt, overruns=overruns), "no")

    assert (ended.status, ended.error, ended.band) == (status, "no", None)
    assert ended.run_at == (None if delay_s is None else NOW + timedelta(seconds=delay_s))


@pytest.mark.parametrize("delay_s", [1e13, 1e300, 86_400 * 366 * 7_974])
def test_a_retry_that_no_calendar_holds_is_none(delay_s: float) -> None:
    tasks.task(name="late", retries=2, backoff_s=delay_s)(lambda payload: None)

    ended = outcomes.of_failure(start(task="late"), "its own error")

    assert (ended.status, ended.error, ended.run_at) == ("failed", "its own error", None)


def test_doubled_again_and_again_a_pause_may_leave_the_numbers_behind() -> None:
    tasks.task(name="patient", retries=5_000)(lambda payload: None)

    assert outcomes.of_failure(start(task="patient", attempt=2_000, max_attempts=9_000), "no").status == "failed"


@pytest.mark.parametrize("may_repeat", [True, False])
def test_an_overrun_goes_into_the_next_lane_and_counts_only_when_its_work_must_not_repeat(may_repeat: bool) -> None:
    ended = outcomes.of_error(start("task_02", may_repeat=may_repeat), "stopped", settings(), overran=True)

    assert (ended.status, ended.band, ended.counts, ended.run_at) == ("pending", "task_03", not may_repeat, None)
    assert str(ended.error).endswith("put into task_03")


@pytest.mark.parametrize(("may_repeat", "status"), [(True, "pending"), (False, "failed")])
def test_an_overrun_at_the_last_attempt_fails_only_when_its_work_must_not_repeat(may_repeat: bool, status: str) -> None:
    last = start(attempt=3, may_repeat=may_repeat, task="again")

    ended = outcomes.of_error(last, "stopped", settings(), overran=True)

    assert ended.status == status


@pytest.mark.parametrize("task", ["once", "again"])
def test_where_an_overrun_is_to_fail_no_retry_is_left(task: str) -> None:
    ended = outcomes.of_error(start(task=task), "stopped", settings("fail"), overran=True)

    assert (ended.status, ended.band, ended.run_at) == ("failed", None, None)
    assert "the bound of task_01 and 100 ms of grace; 0.001 s were estimated" in str(ended.error)


@pytest.mark.parametrize("overrun", ["demote", "fail", "allow"])
def test_what_is_raised_without_an_overrun_is_a_failure_with_that_error(overrun: str) -> None:
    ended = outcomes.of_error(start(), "OSError: broke", settings(overrun))

    assert (ended.status, ended.error) == ("failed", "OSError: broke")


def test_bands_changed_meanwhile_an_overrun_is_a_failure() -> None:
    fewer = dataclasses.replace(settings(), bands=Bands(settings().bands[:1]))

    assert outcomes.of_error(start("task_02"), "stopped", fewer, overran=True).status == "failed"
