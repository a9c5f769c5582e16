"""What is recorded of a start whose process ended in the middle."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from jobsched.domain import Status
from jobsched.ledger.moves import StartedJob
from jobsched.work import deaths
from jobsched.work.deaths import Death
from jobsched.work.outcome_json import Remains

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
JOB = StartedJob(7, 1, 3, 1, 1, "noop", {}, 0.5, "task_01")
TOLD = deaths.described(-11, deaths.place(2, 3))
RETURNED = Remains(NOW, NOW, 0.25, True, True, "")
RAISED = Remains(NOW, NOW, 0.25, True, False, "ValueError: (its message could not be made)")


@pytest.mark.parametrize(("killed", "remains", "error"), [
    (True, None, "did not stop within 5 s of its limit, and was killed"),
    (True, RETURNED, "what it returned had no end, and its process was killed"),
    (False, RETURNED, f"what it returned can not be read: {TOLD}"),
    (True, RAISED, "ValueError: (its message could not be made)"),
    (False, RAISED, f"ValueError: (its message could not be made)\n{TOLD}"),
])
def test_it_goes_by_how_far_the_start_had_come(killed: bool, remains: Remains | None, error: str) -> None:
    outcome = deaths.outcome(JOB, Death(2.0, killed, TOLD), remains, NOW)

    assert outcome is not None
    assert (outcome.job, outcome.attempt, outcome.status, outcome.error) == (7, 1, Status.FAILED, error)
    assert outcome.run_time == (2.0 if remains is None else 0.25)
    assert outcome.started_at == (NOW - timedelta(seconds=2) if remains is None else NOW)


def test_a_start_that_ended_its_process_by_itself_has_no_end() -> None:
    assert deaths.outcome(JOB, Death(2.0, False, TOLD), None, NOW) is None
