"""The newest jobs, as the dashboard lists them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobsched.domain import Bands, Status
from jobsched.ledger.models import Job, Site, UserRecord
from jobsched.web.pages.presentation import whole

#: How many of the newest jobs are shown.
LATEST_JOBS = 12


@dataclass(frozen=True)
class LatestJob:
    """A job in the list of the newest, in the words of the API.

    ``waited_s`` still grows while it is pending, ``run_time`` while it runs: then they are in whole seconds.
    """

    id: int
    site: int
    site_name: str
    user: int
    user_name: str
    task: str
    band: str
    execution_time: float
    status: Status
    attempt: int
    submitted_at: datetime
    waited_s: float | None
    run_time: float | None


def latest_jobs(session: Session, bands: Bands, now: datetime) -> tuple[LatestJob, ...]:
    """The LATEST_JOBS newest jobs, the newest first."""
    rows = session.execute(
        select(Job.id, Job.site_id, Site.name.label("site_name"), Job.user_id, UserRecord.name.label("user_name"),
               Job.task, Job.band, Job.execution_time, Job.status, Job.attempt, Job.submitted_at, Job.enqueued_at,
               Job.started_at, Job.finished_at, Job.run_time)
        .join(Site, Site.id == Job.site_id).join(UserRecord, UserRecord.id == Job.user_id)
        .order_by(Job.id.desc()).limit(LATEST_JOBS)
    )
    return tuple(_latest_job(row, bands.label(row.band), now) for row in rows)


def _latest_job(row: Any, band: str, now: datetime) -> LatestJob:
    status: Status = row.status
    # A job that waits again after a start still carries the times of that start.
    started = row.started_at if status in (Status.RUNNING, Status.COMPLETED, Status.FAILED) else None
    return LatestJob(
        id=row.id, site=row.site_id, site_name=row.site_name, user=row.user_id, user_name=row.user_name, task=row.task,
        band=band, execution_time=row.execution_time, status=status, attempt=row.attempt,
        submitted_at=row.submitted_at, waited_s=_waited_s(row, status, started, now),
        run_time=_run_time(row, status, started, now),
    )


def _waited_s(row: Any, status: Status, started: datetime | None, now: datetime) -> float | None:
    if status is Status.SCHEDULED:
        return None
    waited_s = max(0.0, ((started or row.finished_at or now) - row.enqueued_at).total_seconds())
    return whole(waited_s) if status is Status.PENDING else waited_s


def _run_time(row: Any, status: Status, started: datetime | None, now: datetime) -> float | None:
    if started is None:
        return None
    ran_s: float = ((row.finished_at or now) - started).total_seconds() if row.run_time is None else row.run_time
    return whole(ran_s) if status is Status.RUNNING else ran_s
