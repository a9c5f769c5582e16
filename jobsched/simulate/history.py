"""Makes a workload from the ledger: the recorded jobs, for another policy or other workers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from jobsched.base.addresses import redacted
from jobsched.config import Settings
from jobsched.domain import LEAST_EXECUTION_TIME_S
from jobsched.ledger.database import ledger_app, reading
from jobsched.ledger.models import Job
from jobsched.simulate.workloads import Arrival, BadWorkload, Workload, workload


def from_ledger(settings: Settings, begin: datetime, end: datetime, workers: int) -> Workload:
    """The jobs that became due from ``begin`` until before ``end`` (both aware).

    Each takes its measured time, or its estimate if it has not run to its end.
    Raises BadWorkload if there are none, and sqlalchemy.exc.OperationalError.
    """
    with ledger_app(settings).app_context(), reading() as session:
        arrivals = list(_arrivals(session.execute(_jobs_between(begin, end)), begin))
    if not arrivals:
        span = f"{begin.isoformat()} and {end.isoformat()}"
        raise BadWorkload(f"no jobs between {span} in {redacted(settings.database_url)}")
    return workload("history", workers, arrivals)


def _jobs_between(begin: datetime, end: datetime) -> Any:
    due = func.coalesce(Job.run_at, Job.submitted_at, type_=Job.submitted_at.type)
    return (
        select(due, Job.site_id, Job.user_id, Job.run_time, Job.execution_time)
        .where(due >= begin, due < end)
        .execution_options(yield_per=10_000)
    )


def _arrivals(rows: Any, begin: datetime) -> Iterator[Arrival]:
    for due, site, user, run_time, execution_time in rows:
        estimate = max(LEAST_EXECUTION_TIME_S, execution_time)
        length = estimate if run_time is None else max(LEAST_EXECUTION_TIME_S, run_time)  # a clock may measure nothing
        yield Arrival((due - begin).total_seconds(), site, user, length, estimate)
