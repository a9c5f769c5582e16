"""Estimates from history, on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from jobsched.domain import Status
from jobsched.intake import estimates
from jobsched.intake.estimates import LATEST, Accuracy, Estimate, Measured, TaskEstimates
from jobsched.ledger.database import reading
from jobsched.ledger.models import Site, UserRecord
from tests.support import make_job, make_site, make_user

pytestmark = pytest.mark.usefixtures("ledger")


@pytest.fixture
def site() -> Site:
    return make_site()


@pytest.fixture
def user(site: Site) -> UserRecord:
    return make_user(site)


def completed(user: UserRecord, *seconds: float, **fields: object) -> None:
    for one in seconds:
        make_job(user, run_time=one, **{"status": Status.COMPLETED, "task": "sleep", **fields})


def estimate(site: Site, task: str = "sleep") -> Estimate | None:
    with reading() as session:
        return estimates.estimate(session, site.id, task)


def test_the_estimate_is_what_nine_in_ten_jobs_of_the_site_did_not_exceed(site: Site, user: UserRecord) -> None:
    completed(user, *(i / 10 for i in range(10, 0, -1)))

    assert estimate(site) == Estimate(0.9, 10, of_site=True)


def test_a_site_without_history_gets_the_estimate_of_all_sites(site: Site) -> None:
    completed(make_user(), 1.0)
    completed(make_user(), 3.0)

    assert estimate(site) == Estimate(3.0, 2, of_site=False)


def test_a_site_with_history_is_not_told_that_of_others(site: Site, user: UserRecord) -> None:
    completed(make_user(), 9.0)
    completed(user, 0.5)

    assert estimate(site) == Estimate(0.5, 1, of_site=True)


def test_without_history_there_is_no_estimate(site: Site, user: UserRecord) -> None:
    completed(user, 1.0, task="echo")
    for status in Status:
        if status is not Status.COMPLETED:
            completed(user, 1.0, status=status)

    assert estimate(site) is None


def test_only_the_latest_jobs_count(site: Site, user: UserRecord) -> None:
    completed(user, 9.0, *[0.25] * LATEST)

    assert estimate(site) == Estimate(0.25, LATEST, of_site=True)


def test_a_job_that_took_no_measurable_time_is_estimated_above_zero(site: Site, user: UserRecord) -> None:
    completed(user, 0.0)

    found = estimate(site)

    assert found is not None
    assert found.seconds > 0


def test_a_batch_asks_once_for_each_site_and_task_and_once_for_each_task_that_needs_others(
    site: Site, user: UserRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed(user, 1.0)
    news = [make_site().id, make_site().id]
    asked = []
    with reading() as session:
        execute = session.execute
        monkeypatch.setattr(session, "execute", lambda statement: asked.append(1) or execute(statement))
        wanted = [(site.id, "sleep"), (news[0], "sleep"), (news[1], "sleep")] * 50
        found = estimates.estimates(session, wanted)

    assert {pair: one.of_site for pair, one in found.items()} == {
        (site.id, "sleep"): True, (news[0], "sleep"): False, (news[1], "sleep"): False,
    }
    assert len(asked) == 4


# A site's page


def measured(*jobs: tuple[float, float, bool]) -> list[Measured]:
    return [Measured(*job) for job in jobs]


def test_the_error_of_estimates_tells_the_users_from_historys() -> None:
    found = estimates.task_estimates("sleep", measured(
        (1.0, 1.0, False), (4.0, 2.0, False), (1.0, 2.0, False), (3.0, 1.0, False),  # 1, 2, 0.5, 3 times the estimate
        (1.0, 2.0, True),
    ))

    assert found == TaskEstimates(
        "sleep", 5, estimate_s=4.0,
        said=Accuracy(4, median=1.0, p90=3.0, longer=0.5),
        from_history=Accuracy(1, median=0.5, p90=0.5, longer=0.0),
    )


def test_the_error_of_an_estimate_of_next_to_nothing_is_finite() -> None:
    found = estimates.task_estimates("sleep", measured((1.0, 1e-320, False)))  # taken before there was a least one
    assert found.said == Accuracy(1, median=1e6, p90=1e6, longer=1.0)


def test_a_sites_page_tells_its_tasks_by_name_and_whose_the_estimates_were(site: Site, user: UserRecord) -> None:
    completed(user, 0.5, 1.0, execution_time=0.5)
    completed(user, 1.0, execution_time=2.0, estimated=True)
    completed(make_user(), 9.0)

    with reading() as session:
        assert estimates.of_site(session, site.id) == [TaskEstimates(
            "sleep", 3, 1.0, said=Accuracy(2, 1.0, 2.0, 0.5), from_history=Accuracy(1, 0.5, 0.5, 0.0),
        )]


def test_a_site_without_completed_jobs_has_no_estimates(site: Site, user: UserRecord) -> None:
    make_job(user, run_time=1.0, status=Status.FAILED)

    with reading() as session:
        assert estimates.of_site(session, site.id) == []


@pytest.mark.parametrize(("values", "q", "expected"), [
    ([3.0], 0.9, 3.0), ([3.0], 0.5, 3.0),
    ([1.0, 2.0], 0.5, 1.0), ([2.0, 1.0], 0.9, 2.0),  # the 1st and the 2nd of two
    ([float(i) for i in range(1, 101)], 0.9, 90.0),
    ([float(i) for i in range(1, 12)], 0.9, 10.0),  # 0.9 * 11 = 9.9, so the 10th
])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_quantile_is_one_of_the_values(values: list[float], q: float, expected: float) -> None:
    assert estimates.quantile(values, q) == expected
