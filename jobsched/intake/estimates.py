"""Estimates how long a job will take from recent jobs of its task, and measures how good estimates were.

Under ``JOBSCHED_OVERRUN=fail`` a job that overruns its lane never completes, so the history then holds only the quicker
jobs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from jobsched import tasks
from jobsched.domain import LEAST_EXECUTION_TIME_S, Status
from jobsched.ledger.models import Job

#: History is that of so many jobs, the latest to be submitted of those that are completed.
LATEST = 100
#: An estimate is this quantile of their measured times: nine in ten jobs took no longer.
QUANTILE = 0.9

#: In the statement's text: a database that sees a parameter here can not tell that the partial indexes hold the rows.
_COMPLETED = Job.status == bindparam("completed", Status.COMPLETED, literal_execute=True)


@dataclass(frozen=True)
class Estimate:
    """What a job will take, in seconds; from how many ``jobs``, and whether these were all of its own site."""

    seconds: float
    jobs: int
    of_site: bool

    def within(self, bound_s: float) -> float:
        """The estimate in seconds, as far as the last band goes: what has taken longer is not refused for it."""
        return min(self.seconds, bound_s)


@dataclass(frozen=True)
class Accuracy:
    """How ``jobs`` estimates did. ``median`` and ``p90`` are of measured / estimated: 1 is right, 2 took twice as long.

    ``longer`` is the share of jobs, 0 to 1, that took longer than was estimated.
    """

    jobs: int
    median: float
    p90: float
    longer: float


@dataclass(frozen=True)
class TaskEstimates:
    """A task's latest completed jobs at a site: how many, what the next one is estimated to take, in seconds.

    ``said`` is how those estimates did that came with the job, ``from_history`` those that were left to us; None where
    there were none.
    """

    task: str
    jobs: int
    estimate_s: float
    said: Accuracy | None
    from_history: Accuracy | None


@dataclass(frozen=True)
class Measured:
    """A completed job: its measured and its estimated seconds, and whether history made the estimate."""

    run_time: float
    execution_time: float
    estimated: bool


def estimate(session: Session, site: int, task: str) -> Estimate | None:
    """What a job of a task takes at a site; by all sites' jobs where that one has none; None without any."""
    return estimates(session, [(site, task)]).get((site, task))


def estimates(session: Session, wanted: Iterable[tuple[int, str]]) -> dict[tuple[int, str], Estimate]:
    """The :func:`estimate` of each (site, task) that has one; one or two queries for each distinct pair."""
    of_task: dict[str, Estimate | None] = {}
    found: dict[tuple[int, str], Estimate] = {}
    for site, task in dict.fromkeys(wanted):
        own = _estimate(_times(session, task, site), of_site=True)
        if own is None and task not in of_task:
            of_task[task] = _estimate(_times(session, task), of_site=False)
        if best := own or of_task[task]:
            found[site, task] = best
    return found


def of_site(session: Session, site: int) -> list[TaskEstimates]:
    """The estimates of each registered task that has completed jobs at the site, by name; one query a task."""
    histories = ((task, [Measured(*row) for row in session.execute(history(task, site))]) for task in tasks.names())
    return [task_estimates(task, jobs) for task, jobs in histories if jobs]


def history(task: str, site: int | None = None) -> Any:
    """The query of the columns of :class:`Measured` of a task's latest jobs; without a site, of all sites."""
    wanted = [_COMPLETED, Job.task == task, Job.run_time.is_not(None)]
    if site is not None:
        wanted.append(Job.site_id == site)
    return select(Job.run_time, Job.execution_time, Job.estimated).where(*wanted).order_by(Job.id.desc()).limit(LATEST)


def task_estimates(task: str, jobs: Sequence[Measured]) -> TaskEstimates:
    """The figures of a task from its latest jobs, of which there is at least one."""
    return TaskEstimates(
        task=task,
        jobs=len(jobs),
        estimate_s=_likely_s([job.run_time for job in jobs]),
        said=_accuracy([job for job in jobs if not job.estimated]),
        from_history=_accuracy([job for job in jobs if job.estimated]),
    )


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest of ``values`` that at least the share ``q`` of them does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)]


def _times(session: Session, task: str, site: int | None = None) -> list[float]:
    return [row.run_time for row in session.execute(history(task, site))]


def _estimate(times: Sequence[float], *, of_site: bool) -> Estimate | None:
    return Estimate(_likely_s(times), len(times), of_site) if times else None


def _likely_s(times: Sequence[float]) -> float:
    return max(LEAST_EXECUTION_TIME_S, quantile(times, QUANTILE))  # a clock may have measured nothing


def _accuracy(jobs: Sequence[Measured]) -> Accuracy | None:
    if not jobs:
        return None
    # A row that is older than the least execution time may hold less.
    ratios = [job.run_time / max(LEAST_EXECUTION_TIME_S, job.execution_time) for job in jobs]
    return Accuracy(len(jobs), quantile(ratios, 0.5), quantile(ratios, 0.9),
                    sum(ratio > 1 for ratio in ratios) / len(ratios))
