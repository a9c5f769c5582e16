"""A job's band: by its estimate, or the next one after an overrun, on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from jobsched.domain import Bands, Status
from jobsched.ledger import moves
from jobsched.ledger.database import reading, writing
from jobsched.ledger.moves import Outcome
from tests.engine import job
from tests.support import BANDS, make_job, make_site, make_user

pytestmark = pytest.mark.usefixtures("ledger")

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


# Overruns


def demoted(job: int, attempt: int = 1, **fields: Any) -> Outcome:
    return Outcome(**{"job": job, "attempt": attempt, "status": Status.PENDING, "started_at": NOW,
                      "finished_at": NOW + timedelta(seconds=2), "run_time": 2.0, "error": "too long",
                      "band": "task_03", "counts": False, **fields})


def running(**fields: Any) -> int:
    return int(make_job(status=Status.RUNNING, **{"attempt": 1, **fields}).id)


def finish(*outcomes: Outcome) -> int:
    with writing() as session:
        return moves.finish(session, outcomes)


@pytest.mark.parametrize(("counts", "max_attempts"), [(False, 4), (True, 3)])
def test_an_overrun_waits_in_its_new_band_and_costs_an_attempt_only_when_it_counts(
    counts: bool, max_attempts: int
) -> None:
    id_ = running(execution_time=0.005, enqueued_at=NOW - timedelta(hours=1), finished_at=None)

    assert finish(demoted(id_, counts=counts)) == 1

    row = job(id_)
    assert (row.status, row.band, row.overruns, row.execution_time) == ("pending", "task_03", 1, 0.005)
    assert (row.attempt, row.max_attempts) == (1, max_attempts)
    assert (row.run_time, row.error, row.started_at, row.finished_at) == (2.0, "too long", NOW, None)
    assert row.enqueued_at == NOW + timedelta(seconds=2)


def test_overruns_and_other_ends_are_recorded_together() -> None:
    done, again = running(), running()

    assert finish(Outcome(done, 1, Status.COMPLETED, NOW, NOW, 1.0, {"n": 1}), demoted(again)) == 2

    assert (job(done).status, job(done).result, job(done).overruns) == ("completed", {"n": 1}, 0)
    assert (job(again).status, job(again).overruns) == ("pending", 1)


def test_a_late_overrun_changes_nothing() -> None:
    given_back, restarted = int(make_job(attempt=1).id), running(attempt=2)

    assert finish(demoted(given_back), demoted(restarted)) == 0

    for id_ in (given_back, restarted):
        assert (job(id_).band, job(id_).overruns, job(id_).max_attempts) == ("task_02", 0, 3)


@pytest.mark.parametrize("fields", [{"band": None}, {"status": Status.COMPLETED}, {"status": Status.SCHEDULED}])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_band_goes_with_pending_and_with_nothing_else(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="can not become"):
        finish(demoted(1, **fields))


def test_the_board_is_told_what_a_job_is_known_to_take() -> None:
    user = make_user()
    overran = make_job(user, execution_time=0.005, run_time=0.26, overruns=1).id
    modest = make_job(user, execution_time=0.5, run_time=0.26, overruns=1).id  # lies about nothing: it was stopped late
    retried = make_job(user, execution_time=0.005, run_time=0.26).id
    fresh = make_job(user, execution_time=0.005, overruns=1).id

    with reading() as session:
        told = {one.id: one.execution_time for one in moves.pending(session, 0, 10)}

    assert told == {overran: 0.26, modest: 0.5, retried: 0.005, fresh: 0.005}


# Assigned


def test_assign_bands_moves_waiting_jobs_into_the_bands_that_hold_them() -> None:
    site = make_site()
    user = make_user(site)
    times = {0.0005: "task_01", 0.005: "task_01", 0.05: "task_02", 0.5: "task_02", 5.0: "task_03", 10.0: "task_03"}
    jobs = {make_job(user, execution_time=seconds).id: band for seconds, band in times.items()}
    ended = make_job(user, execution_time=5.0, status=Status.COMPLETED).id
    scheduled = make_job(user, execution_time=5.0, status=Status.SCHEDULED).id
    bands = Bands.of([0.005, 0.5, 2.0])  # the last takes what no band holds

    with writing() as session:
        # 0.0005 is task_01 before and after; 0.005 was task_02, 0.05 task_03, 0.5 task_04, 5 and 10 and 5 task_05
        assert moves.assign_bands(session, bands) == 6
        assert moves.assign_bands(session, bands) == 0

    assert {id_: job(id_).band for id_ in jobs} == jobs
    assert (job(ended).band, job(scheduled).band) == ("task_05", "task_03")


def test_assign_bands_to_more_bands_splits_them() -> None:
    user = make_user()
    jobs = {make_job(user, execution_time=seconds, band="task_01").id: band.name
            for seconds, band in zip((0.001, 0.01, 0.1, 1.0, 10.0), BANDS, strict=True)}

    with writing() as session:
        assert moves.assign_bands(session, BANDS) == 4

    assert {id_: job(id_).band for id_ in jobs} == jobs


@pytest.mark.parametrize(("band", "bounds", "expected"), [
    ("task_03", [0.001, 0.01, 0.1, 1, 10], "task_03"),  # where it was put
    ("task_05", [0.001, 0.01, 0.1], "task_02"),  # there is no such band any more
    ("task_03", [0.001, 0.002, 0.003, 0.01], "task_04"),  # too short by now for what it said itself
    ("task_03", [0.01, 0.1, 1], "task_03"),
])
def test_a_job_that_overran_is_not_sent_back_into_its_first_band(
    band: str, bounds: list[float], expected: str
) -> None:
    id_ = make_job(execution_time=0.005, band=band, overruns=1).id

    with writing() as session:
        moves.assign_bands(session, Bands.of(bounds))

    assert job(id_).band == expected
