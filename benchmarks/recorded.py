"""Reads a run from a ledger as the simulator's types: a workload and its trace."""

from __future__ import annotations

from array import array
from typing import NamedTuple

from sqlalchemy import func, select

from jobsched.config import Settings
from jobsched.domain import Status
from jobsched.ledger.database import ledger_app, reading
from jobsched.ledger.models import Job
from jobsched.simulate.engine import Trace
from jobsched.simulate.workloads import Arrival, Workload, workload


class Run(NamedTuple):
    """One run: what arrived, when it started and finished, and how many slices carried it."""

    load: Workload
    trace: Trace
    slices: tuple[str, ...]  # of each job


def unfinished(settings: Settings) -> int:
    """How many jobs are not completed yet."""
    with ledger_app(settings).app_context(), reading() as session:
        count = session.scalar(select(func.count()).where(Job.status != Status.COMPLETED))
        return int(count or 0)


def read(settings: Settings, policy: str, workers: int, busy: int) -> Run:
    """Every job of the ledger, with its measured length. Times count from the first arrival.

    ``busy`` is the site that floods.
    """
    columns = (Job.submitted_at, Job.site_id, Job.user_id, Job.run_time, Job.execution_time, Job.started_at,
               Job.finished_at, Job.slice)
    with ledger_app(settings).app_context(), reading() as session:
        rows = session.execute(select(*columns)).all()
    zero = min(row.submitted_at for row in rows)
    seconds = [(Arrival((row.submitted_at - zero).total_seconds(), row.site_id, row.user_id, row.run_time,
                        row.execution_time),
                (row.started_at - zero).total_seconds(), (row.finished_at - zero).total_seconds(), row.slice)
               for row in rows]
    seconds.sort()
    arrivals, starts, ends, slices = zip(*seconds, strict=True)
    trace = Trace(policy, array("d", starts), array("d", ends))
    return Run(workload("flood", workers, arrivals, [busy]), trace, slices)


def overhead_s(run: Run) -> float:
    """The time that a slice costs its worker beside its jobs, measured while there was work for all workers.

    It is the workers' time from the first start until no job waits, less the run times, divided by the slices.
    """
    begin, end = min(run.trace.start), _first_idle(run)
    worked = sum(max(0.0, min(finish, end) - max(start, begin)) for _, start, finish in run.trace.runs())
    slices = {slice_ for slice_, start in zip(run.slices, run.trace.start, strict=True) if start < end}
    return max(0.0, run.load.workers * (end - begin) - worked) / len(slices)


def _first_idle(run: Run) -> float:
    """The first time after the first start at which no job waits."""
    events = sorted([(at, 1) for at in run.load.at] + [(start, -1) for start in run.trace.start])
    waiting = 0
    for at, change in events:
        waiting += change
        if waiting == 0 and change < 0:
            return at
    return events[-1][0]
