"""Decides what follows a start of a job: it completes, fails, is retried, or moves to the next lane.

Nothing here does I/O or reads a clock.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobsched import tasks
from jobsched.config import Settings
from jobsched.domain import Bands, Status
from jobsched.ledger.moves import Outcome, StartedJob

#: Without a ``timeout_s`` of its task, a start may take this many times its band's bound, and at least LEAST_LIMIT_S.
LIMIT_FACTOR = 10
LEAST_LIMIT_S = 30.0
#: A retry that would be due in this year, or later, has no date that every database and every reader holds.
NO_YEAR = 9_999


@dataclass(frozen=True)
class Start:
    """A start that has ended: when, after how many measured seconds, and whether its work may be done again."""

    job: StartedJob
    started_at: datetime
    finished_at: datetime
    run_time: float
    may_repeat: bool = True


def limit_s(job: StartedJob, settings: Settings) -> float:
    """The longest that one start of a job may take, in seconds: what its task says, or what its band allows."""
    with suppress(tasks.UnknownTask):
        said = tasks.find(job.task).timeout_s
        if said is not None:
            return said
    band = settings.bands.named(job.band)
    return max(LEAST_LIMIT_S, LIMIT_FACTOR * (band.bound_s if band else job.execution_time))


def overrun_s(job: StartedJob, settings: Settings) -> float | None:
    """After how many seconds one start of a job overruns its lane; None where it may go on up to its limit."""
    band = settings.bands.named(job.band)
    last = band is settings.bands.longest
    if band is None or settings.overrun == "allow" or (last and settings.overrun == "demote"):
        return None
    return band.bound_s + settings.overrun_grace_ms / 1000


def of_result(start: Start, result: Any) -> Outcome:
    """Its task returned ``result``, as :func:`jobsched.work.results.recordable` gives it back."""
    return _outcome(start, Status.COMPLETED, result=result)


def of_error(start: Start, error: str, settings: Settings, *, overran: bool = False) -> Outcome:
    """Its task raised, or was stopped: an overrun goes by ``settings.overrun``, all else is a failure."""
    limit_s = overrun_s(start.job, settings)
    if limit_s is None or not overran:
        return of_failure(start, error)
    why = (f"took longer than {limit_s:g} s, which is the bound of {start.job.band} and "
           f"{settings.overrun_grace_ms:g} ms of grace; {start.job.execution_time:g} s were estimated")
    if settings.overrun == "fail":  # whatever retries are left: it would overrun again
        return failed(start, why)
    return _demoted(start, why, settings.bands)


def of_failure(start: Start, error: str) -> Outcome:
    """A failure with ``error``; when its task has a retry left, and the job an attempt, it is scheduled for that."""
    run_at = _next_start(start) if start.job.attempt < start.job.max_attempts else None
    return _outcome(start, Status.SCHEDULED, error=error, run_at=run_at) if run_at else failed(start, error)


def failed(start: Start, error: str) -> Outcome:
    """A failure for good, whatever retries are left."""
    return _outcome(start, Status.FAILED, error=error)


def _next_start(start: Start) -> datetime | None:
    """When a start that failed is tried again; None: never, or only when time as we count it is over."""
    job = start.job
    try:
        delay_s = tasks.find(job.task).delay_before_retry(job.attempt - job.overruns)
        run_at = None if delay_s is None else start.finished_at + timedelta(seconds=delay_s)
    except (tasks.UnknownTask, OverflowError, ValueError):  # inf is the one, nan the other
        return None
    return run_at if run_at and run_at.year < NO_YEAR else None


def _demoted(start: Start, why: str, bands: Bands) -> Outcome:
    """Into the next lane; counted as an attempt only when its work may not be done again for nothing."""
    job = start.job
    if not start.may_repeat and job.attempt >= job.max_attempts:
        return failed(start, f"{why}; its work must not repeat, and no attempt is left")
    band = bands.names[bands.names.index(job.band) + 1]
    return _outcome(start, Status.PENDING, error=f"{why}; put into {band}", band=band, counts=not start.may_repeat)


def _outcome(start: Start, status: Status, **fields: Any) -> Outcome:
    return Outcome(start.job.id, start.job.attempt, status, start.started_at, start.finished_at, start.run_time,
                   **fields)
