"""The verdict of `make chaos` finds each violation in an account that holds it, and none in a clean account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.chaos.audit import Change, Row
from tests.chaos.faults import Kill
from tests.chaos.load import Request
from tests.chaos.notes import Note, Notes
from tests.chaos.verdict import Verdict, judge

ROW = Row(id=1, status="completed", attempt=1, max_attempts=3, site=1, user=1, band="task_01", execution_time=0.001,
          payload={"key": "k", "fail_until": 0}, error=None)
STEPS = (("pending", 0), ("running", 1), ("completed", 1))
RAN = (("start", 1), ("end", 1))


def changes(steps: Sequence[tuple[str, int]]) -> list[Change]:
    """A job's history: it was first inserted, then went from each status to the next."""
    before = [None, *(status for status, _ in steps)]
    return [Change(1, float(at), was, status, attempt, None)
            for at, (was, (status, attempt)) in enumerate(zip(before, steps, strict=False))]


def notes(ran: Sequence[tuple[str, int]]) -> Notes:
    """What its task wrote, each attempt in a process of its own."""
    lines = [Note(event, "1", attempt, 100 + attempt, float(at)) for at, (event, attempt) in enumerate(ran)]
    return Notes({"1": lines})


def verdict(row: Row | None = ROW, steps: Sequence[tuple[str, int]] = STEPS, ran: Sequence[tuple[str, int]] = RAN,
            answers: Sequence[Sequence[int]] = ((1,),), kills: Sequence[Kill] = ()) -> Verdict:
    """The verdict on one job, that was submitted under the key k."""
    request = Request("k", [{}], is_batch=False, answers=[list(ids) for ids in answers])
    return judge([request], {} if row is None else {row.id: row}, {1: changes(steps)}, notes(ran), kills)


def test_a_job_that_was_submitted_run_and_recorded_once_is_no_violation() -> None:
    found = verdict()
    assert (found.violations, found.acknowledged, found.statuses["completed"]) == ([], 1, 1)
    assert (found.lost, found.recorded_twice, found.started_again) == (set(), set(), 0)


def test_an_acknowledged_job_that_is_not_there_is_lost() -> None:
    found = verdict(None, (), ())
    assert found.lost == {1}
    assert (1, "acknowledged, and not in the database") in found.violations


@pytest.mark.parametrize("status", ["scheduled", "pending", "running"])
def test_an_acknowledged_job_that_has_not_ended_is_lost(status: str) -> None:
    assert verdict(replace(ROW, status=status), ((status, 1),)).lost == {1}


def test_a_job_that_nobody_was_told_of_must_end_as_well() -> None:
    found = verdict(replace(ROW, status="pending"), (("pending", 0),), (), answers=())
    assert (found.lost, [job for job, _ in found.violations]) == (set(), [1])


def test_an_end_that_is_recorded_over_an_end_is_a_violation() -> None:
    assert verdict(steps=(*STEPS, ("completed", 1))).recorded_twice == {1}


def test_a_job_that_goes_on_after_its_end_is_a_violation() -> None:
    assert [what for _, what in verdict(steps=(*STEPS, ("pending", 1))).violations] == ["it was changed after its end"]


def test_more_starts_than_allowed_are_a_violation() -> None:
    ran = (*(("start", attempt) for attempt in (1, 2, 3, 4)), ("end", 4))
    found = verdict(replace(ROW, attempt=4), ran=ran)
    assert [what for _, what in found.violations] == ["started 4 times of at most 3"]


def test_two_starts_under_one_attempt_are_a_violation() -> None:
    found = verdict(ran=(("start", 1), *RAN))
    assert [what for _, what in found.violations] == ["two starts under one attempt"]


@pytest.mark.parametrize("ran", [(), (("start", 1),), (("start", 1), ("raise", 1))])
def test_a_completion_without_the_end_of_a_task_is_a_violation(ran: Sequence[tuple[str, int]]) -> None:
    assert [what for _, what in verdict(ran=ran).violations] == ["completed, but its task did not end attempt 1"]


def test_a_key_that_made_two_jobs_is_a_violation() -> None:
    request = Request("k", [{}], is_batch=False, answers=[[1], [2]])
    rows = {1: ROW, 2: replace(ROW, id=2)}
    both = Notes({name: list(notes(RAN).by_job["1"]) for name in ("1", "2")})
    found = judge([request], rows, {}, both, ())
    assert [what for _, what in found.violations] == [
        "key k: repeats were answered with other jobs: [[1], [2]]", "key k made 2 jobs, not 1"]


def test_a_start_that_follows_a_kill_is_counted_and_timed_but_allowed() -> None:
    steps = (("pending", 0), ("running", 1), ("pending", 1), ("running", 2), ("completed", 2))
    ran = (("start", 1), ("start", 2), ("end", 2))
    kill = Kill("horse", 0.5, frozenset({101}), frozenset())

    found = verdict(replace(ROW, attempt=2), steps, ran, kills=[kill])

    assert (found.violations, found.started_again) == ([], 1)
    assert [(rerun.seconds, rerun.free_s) for rerun in found.reruns] == [(0.5, 1.5)]


def test_a_start_that_follows_a_raise_is_a_retry_and_not_counted() -> None:
    ran = (("start", 1), ("raise", 1), ("start", 2), ("end", 2))
    assert verdict(replace(ROW, attempt=2), ran=ran).started_again == 0


@pytest.mark.parametrize(("fail_until", "by_faults"), [(0, 1), (2, 1), (99, 0)])
def test_a_failure_that_its_task_did_not_mean_is_counted(fail_until: int, by_faults: int) -> None:
    row = replace(ROW, status="failed", payload={"key": "k", "fail_until": fail_until})
    steps = (("pending", 0), ("running", 1), ("failed", 1))
    found = verdict(row, steps)
    assert (found.failed_by_faults, found.violations) == (by_faults, [])
