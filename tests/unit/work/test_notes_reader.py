"""A worker accepts from the notes of a task process only outcomes of jobs that it gave to it."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsched.domain import Status
from jobsched.ledger.moves import Outcome, StartedJob
from jobsched.work import outcome_json
from jobsched.work.notes import OUTCOMES_AT, REMAINS_AT, SIZE, Notes
from jobsched.work.notes_reader import Reader
from jobsched.work.outcome_json import Remains

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
JOBS = [StartedJob(id_, 2, 3, 1, 1, "noop", {}, 0.5, "task_01") for id_ in (7, 8, 9)]


def ended(of: StartedJob = JOBS[0], **fields: Any) -> Outcome:
    completed = Outcome(of.id, of.attempt, Status.COMPLETED, NOW, NOW, 0.25, {"a": [1, "ü"]})
    return dataclasses.replace(completed, **fields)


def notes(*outcomes: Outcome, leave: bool = True) -> Notes:
    """The notes of a process in which these jobs have ended."""
    made = Notes(1_000.0)
    for outcome in outcomes:
        made.begin(1.0)
        made.note(outcome_json.pack(outcome))
        if leave:
            made.leave()
    return made


def reader(of: Notes) -> Reader:
    return Reader(of, JOBS, 60.0)


@pytest.mark.parametrize("outcome", [
    ended(), ended(result=None), ended(result=12345678901234567890), ended(result=2**2_047),
    ended(status=Status.FAILED, result=None, error="no \ud800 more"),
    ended(status=Status.SCHEDULED, result=None, error="again", run_at=NOW),
    ended(status=Status.PENDING, result=None, error="too long", band="task_02", counts=False),
])
def test_an_outcome_comes_as_it_was_noted(outcome: Outcome) -> None:
    assert reader(notes(outcome)).new() == [outcome]


def test_what_a_job_has_left_behind_is_waited_for_unless_its_process_has_ended() -> None:
    read = reader(notes(ended(), leave=False))

    assert read.new() == []
    assert list(read.cut_off()) == [JOBS[0]]
    assert read.new(ended=True) == [ended()]
    assert list(read.cut_off()) == []
    assert read.new(ended=True) == []


def test_a_job_that_was_begun_and_has_no_end_is_cut_off() -> None:
    made = notes(ended())
    made.begin(2.0)
    read = reader(made)

    assert read.new(ended=True) == [ended()]
    assert list(read.cut_off()) == [JOBS[1]]
    assert read.bad is None


@pytest.mark.parametrize("wrong", [
    ended(JOBS[1]), ended(attempt=1), ended(status=Status.RUNNING), ended(status=Status.CANCELLED),
    ended(status=Status.PENDING), ended(status=Status.SCHEDULED), ended(band="task_02"), ended(run_at=NOW),
    ended(run_time=-1.0), ended(run_time=math.inf), ended(run_time=math.nan), ended(run_time=1), ended(counts=1),
    ended(error=["no text"]), ended(started_at="yesterday"), ended(started_at=NOW.replace(tzinfo=None)),
    ended(job=True), ended(attempt=2.0), ended(status=Status.PENDING, band=3),
])
def test_an_outcome_that_none_of_its_jobs_can_have_is_not_believed(wrong: Outcome) -> None:
    read = reader(notes(wrong))

    assert read.new() == []
    assert read.bad is not None
    assert list(read.cut_off()) == [JOBS[0]]
    assert read.new(ended=True) == []


@pytest.mark.parametrize("packed", [
    b"", b"[]", b"null", b"\xff\xfe", b"{" * 100_000, b"[" * 100_000, b'{"job": 7}', b"9" * 100_000,
    json.dumps([None] * 11).encode(),
])
def test_what_is_no_outcome_is_not_believed(packed: bytes) -> None:
    made = notes()
    made.begin(1.0)
    made.note(packed)
    made.leave()
    read = reader(made)

    assert read.new() == []
    assert read.bad is not None


def test_what_was_good_before_the_bad_is_kept() -> None:
    read = reader(notes(ended(), ended(JOBS[2])))

    assert read.new() == [ended()]
    assert read.bad is not None
    assert list(read.cut_off()) == [JOBS[1]]


@pytest.mark.parametrize("head", [
    {"begun": 4}, {"begun": 2**32 - 1, "noted": 2**32 - 1, "clean": 2**32 - 1}, {"noted": 2}, {"clean": 2},
    {"begun": 0}, {"begun": 3},
])
def test_counts_that_no_process_of_ours_can_have_are_not_believed(head: dict[str, int]) -> None:
    made = notes(ended())
    for name, value in head.items():
        setattr(made.head, name, value)
    read = reader(made)

    assert read.new(ended=True) == []
    assert read.bad is not None
    assert len(read.cut_off()) <= len(JOBS)


def test_an_outcome_that_is_longer_than_the_notes_is_not_believed() -> None:
    made = notes(ended())
    made.memory[OUTCOMES_AT : OUTCOMES_AT + 4] = (SIZE - OUTCOMES_AT).to_bytes(4, "little")
    read = reader(made)

    assert read.new() == []
    assert read.bad == "of job 7, it has no end"


@given(st.lists(st.tuples(st.sampled_from([0, 24, REMAINS_AT, OUTCOMES_AT, OUTCOMES_AT + 20]),
                          st.integers(0, 40), st.binary(min_size=1, max_size=64)), min_size=1, max_size=4))
def test_rubbish_anywhere_ends_in_no_error_and_in_no_outcome_but_of_the_jobs_in_turn(
    rubbish: list[tuple[int, int, bytes]]
) -> None:
    made = notes(ended(), ended(JOBS[1]))
    for base, offset, stuff in rubbish:
        made.memory[base + offset : base + offset + len(stuff)] = stuff
    read = reader(made)

    found = [*read.new(), *read.new(ended=True)]
    read.remains()
    read.is_late(5.0)

    assert [(one.job, one.attempt) for one in found] == [(job.id, 2) for job in JOBS[: len(found)]]
    assert not {one.job for one in found} & {job.id for job in read.cut_off()}
    assert 0 <= 5.0 - read.begun_at(5.0) <= 5.0


# What is known of the job in hand


def test_what_remains_of_a_job_is_known_until_the_next_begins() -> None:
    made = notes()
    made.begin(1.0)
    kept = Remains(NOW, NOW, 0.25, True, False, "ValueError: (its message could not be made)")
    made.remain(outcome_json.pack(kept))
    read = reader(made)

    assert read.remains() == kept
    made.begin(2.0)
    assert read.remains() is None


@pytest.mark.parametrize("kill_at", [math.nan, math.inf, -math.inf, 0.0, -1.0, 1e300, 5.0, 99.0])
def test_a_process_whose_bound_is_over_or_out_of_reach_is_late(kill_at: float) -> None:
    made = notes()
    made.kill_at = kill_at

    assert reader(made).is_late(5.0)


def test_a_process_is_not_late_before_its_bound() -> None:
    made = notes()
    made.kill_at = 60.0

    assert not reader(made).is_late(5.0)
