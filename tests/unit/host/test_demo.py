"""The checks of the demo on its jobs, and its table."""

from __future__ import annotations

from typing import Any

import pytest

from jobsched.host.demo import BATCH, DemoFailed, check, table


def job(id: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "id": id, "site_name": "Acme", "user_name": "Ann", "band": "task_05", "points": 3, "status": "completed",
        "attempt": 1, "error": None, "run_time": 2.001, "submitted_at": "2026-01-01T00:00:00Z",
        "dispatched_at": f"2026-01-01T00:00:0{id}Z", "started_at": "2026-01-01T00:00:02.500000+00:00", **fields,
    }


def test_jobs_that_each_completed_once_pass() -> None:
    check([job(1), job(2)], {1: 2.0, 2: 2.0})


@pytest.mark.parametrize(("jobs", "reason"), [
    ([job(1)], "the jobs are not those submitted"),
    ([job(1), job(1), job(2)], "the jobs are not those submitted"),
    ([job(1), job(2, status="failed", error="boom")], "job 2 is failed after 1 starts: boom"),
    ([job(1), job(2, attempt=2)], "job 2 is completed after 2 starts"),
    ([job(1), job(2, run_time=1.5)], "job 2 ran 1.5 s, not the 2.0 s it said"),
    ([job(1), job(2, run_time=60.0)], "job 2 ran 60.0 s, not the 2.0 s it said"),
])
def test_any_other_outcome_is_a_failure_with_its_reason(jobs: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(DemoFailed, match=reason):
        check(jobs, {1: 2.0, 2: 2.0})


def test_the_table_is_in_order_of_dispatch() -> None:
    lines = list(table([job(2), job(1)]))
    assert lines[0].split() == ["job", "site", "user", "band", "points", "waited", "ran", "status"]
    assert lines[1].split() == ["1", "Acme", "Ann", "task_05", "3", "2.50", "s", "2.00", "s", "completed"]
    assert lines[2].split()[0] == "2"


def test_the_batch_is_twenty_jobs_and_one_user_submits_for_four_sites() -> None:
    assert len(BATCH) == 20
    assert {site for user, site, _ in BATCH if user == 2} == {1, 2, 3, 4}
