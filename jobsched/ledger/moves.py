"""The guarded writes of a job's status. Each names the status it starts from; no row changed: another was first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Update,
    and_,
    bindparam,
    delete,
    func,
    not_,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.orm import Session

from jobsched.domain import TRANSITIONS, WAITING, Bands, Fence, Slice, Status, WaitingJob
from jobsched.ledger import lookup
from jobsched.ledger.models import Job, shared_now, utcnow

_WAITING_COLUMNS = (Job.id, Job.site_id, Job.user_id, Job.band, Job.execution_time, Job.attempt, Job.enqueued_at,
                    Job.overruns, Job.run_time)

#: Clocks of hosts that agree never differ by as much.
AHEAD = timedelta(seconds=90)
#: Clocks that differ by less are taken for the same.
AGREE = timedelta(seconds=1)
#: Ends the error of a job that may not start again.
NO_ATTEMPT = ", and no attempt is left"


@dataclass(frozen=True)
class StartedJob:
    """What a worker needs of a job that it has just started; ``attempt`` is the one that it holds."""

    id: int
    attempt: int
    max_attempts: int
    site: int
    user: int
    task: str
    payload: dict[str, Any]
    execution_time: float
    band: str
    overruns: int = 0


@dataclass(frozen=True)
class Outcome:
    """How one start of a job ended. A ``run_at`` goes with the status scheduled: a retry that backs off.

    A ``band`` goes with the status pending: the next lane of a start that overran its own. Unless it ``counts``, the
    job gets another attempt for it.
    """

    job: int
    attempt: int
    status: Status
    started_at: datetime
    finished_at: datetime
    run_time: float
    result: Any = None
    error: str | None = None
    run_at: datetime | None = None
    band: str | None = None
    counts: bool = True


def move(source: Status, target: Status) -> Update:
    """An UPDATE of jobs from one status to another. Raises ValueError for a step that TRANSITIONS does not hold."""
    _allow(source, target)
    return update(Job).where(Job.status == source).values(status=target)


def start(session: Session, slice_: Slice, known: Collection[str] | None = None) -> list[StartedJob]:
    """The start fence: take the slice's jobs that are still pending at their attempt, in the slice's order.

    Only those whose task is among the ``known`` ones (None: any). What is not returned is not ours to run: a duplicate,
    cancelled, started by another worker, or of a task that this one does not know (see :func:`unknown`).
    """
    statement = (
        move(Status.PENDING, Status.RUNNING)
        .where(_at_their_attempts(slice_), true() if known is None else Job.task.in_(known))
        .values(attempt=Job.attempt + 1, started_at=utcnow(), slice=slice_.id, points=slice_.points,
                dispatched_at=datetime.fromtimestamp(slice_.dispatched_at, tz=utcnow().tzinfo))
        .returning(Job.id, Job.attempt, Job.max_attempts, Job.site_id, Job.user_id, Job.task, Job.payload,
                   Job.execution_time, Job.band, Job.overruns)
        .execution_options(synchronize_session=False)
    )
    started = {row.id: StartedJob(*row) for row in session.execute(statement)}
    return [started[fence.job] for fence in slice_.jobs if fence.job in started]


def unknown(session: Session, slice_: Slice, known: Collection[str]) -> dict[int, str]:
    """The slice's jobs that still wait at their attempt, but whose task is not among the ``known`` ones, and it."""
    rows = session.execute(select(Job.id, Job.task).where(
        Job.status == Status.PENDING, _at_their_attempts(slice_), Job.task.not_in(known)))
    return {row.id: row.task for row in rows}


def finish(session: Session, outcomes: Sequence[Outcome]) -> int:
    """The finish fence: record how starts ended, each guarded by (id, attempt, running).

    Returns how many were recorded; the rest came too late, and somebody else has recorded or restarted the job.
    """
    for outcome in outcomes:
        _allow(Status.RUNNING, outcome.status)
        if (outcome.band is not None) != (outcome.status is Status.PENDING):
            raise ValueError(f"job {outcome.job} can not become {outcome.status} in band {outcome.band}")
    demoted = [outcome for outcome in outcomes if outcome.band is not None]
    return _end(session, [o for o in outcomes if o.band is None]) + _demote(session, demoted)


def give_back(session: Session, fences: Sequence[Fence], why: str) -> tuple[int, int]:
    """Take running jobs from workers or processes that ended: pending again, or failed when no attempt is left.

    Returns how many went back, and how many failed. ``why`` is their error, with NO_ATTEMPT for those that failed.
    """
    ours = tuple_(Job.id, Job.attempt).in_([(fence.job, fence.attempt) for fence in fences])
    spent = session.execute(
        move(Status.RUNNING, Status.FAILED).where(ours, Job.attempt >= Job.max_attempts)
        .values(error=why + NO_ATTEMPT, finished_at=utcnow())
    )
    back = session.execute(move(Status.RUNNING, Status.PENDING).where(ours).values(error=why))
    return _count(back), _count(spent)


def wake(session: Session, now: datetime, limit: int) -> list[WaitingJob]:
    """Make up to ``limit`` scheduled jobs that are due pending, oldest first; they wait from when they were due."""
    due = (
        select(Job.id).where(Job.status == Status.SCHEDULED, Job.run_at <= now).order_by(Job.run_at).limit(limit)
        .with_for_update(skip_locked=True)  # two wakes at once would lock each other's rows in different orders
        .cte("due")  # PostgreSQL may run a subquery with a limit once for each row
    )
    statement = (
        move(Status.SCHEDULED, Status.PENDING).where(Job.id.in_(select(due.c.id)), Job.run_at <= now)
        .values(enqueued_at=Job.run_at, finished_at=None).returning(*_WAITING_COLUMNS)
    )
    return [waiting_job(row) for row in session.execute(statement)]


def rewrite(session: Session, job: Fence, row: Mapping[str, Any]) -> Job | None:
    """Give a waiting job the columns of ``row``, among them its status, scheduled or pending; returns its row.

    None when it does not wait any more, or has been started since.
    """
    for source in WAITING:
        if source is not row["status"]:
            _allow(source, row["status"])
    statement = update(Job).where(*_waits(job)).values(**row).returning(Job)
    return session.scalars(statement, execution_options={"populate_existing": True}).one_or_none()


def remove(session: Session, job: Fence) -> bool:
    """Delete a waiting job; False when it does not wait any more, or has been started since."""
    return _count(session.execute(delete(Job).where(*_waits(job)))) > 0


def cancel(session: Session, job: int) -> bool:
    """Cancel a waiting job; False when it does not wait."""
    moves = [move(source, Status.CANCELLED).where(Job.id == job).values(finished_at=utcnow()) for source in WAITING]
    return any(_count(session.execute(statement)) for statement in moves)


def retry(session: Session, job: int, max_attempts: int) -> bool:
    """Make a failed or cancelled job pending again, with ``max_attempts`` new starts; False when it is neither."""
    fresh: dict[str, Any] = {
        "enqueued_at": shared_now(session), "run_at": None, "finished_at": None, "run_time": None, "result": None,
        "error": None, "max_attempts": Job.attempt + max_attempts,
    }
    moves = [
        move(source, Status.PENDING).where(Job.id == job).values(**fresh)
        for source in (Status.FAILED, Status.CANCELLED)
    ]
    return any(_count(session.execute(statement)) for statement in moves)


def pending(session: Session, after: int, limit: int) -> list[WaitingJob]:
    """Up to ``limit`` pending jobs with ids above ``after``, by id."""
    found = session.execute(_pending().where(Job.id > after).order_by(Job.id).limit(limit))
    return [waiting_job(row) for row in found]


def still_pending(session: Session, jobs: Iterable[int]) -> list[WaitingJob]:
    """Those of ``jobs`` that are pending."""
    return [waiting_job(row) for row in lookup.among(session, _pending(), Job.id, set(jobs))]


def assign_bands(session: Session, bands: Bands) -> int:
    """Put waiting jobs into the bands that hold them; the last takes what no band holds. Returns how many moved.

    One that has overrun a lane stays in the longer one that it was put into, as long as there is a band of that name.
    """
    moved, low = 0, 0.0
    for i, band in enumerate(bands):
        fits = Job.execution_time <= band.bound_s if band is not bands.longest else true()
        demoted = and_(Job.overruns > 0, Job.band.in_([longer.name for longer in bands[i + 1 :]]))
        moved += _count(session.execute(
            update(Job)
            .where(Job.status.in_(WAITING), Job.execution_time > low, fits)
            .where(Job.band != band.name, not_(demoted))
            .values(band=band.name)
        ))
        low = band.bound_s
    return moved


def running_in(session: Session, slice_id: str, jobs: Iterable[int]) -> list[Fence]:
    """Those of ``jobs`` that run as part of a slice."""
    statement = select(Job.id, Job.attempt).where(
        Job.id.in_(list(jobs)), Job.status == Status.RUNNING, Job.slice == slice_id
    )
    return [Fence(job, attempt) for job, attempt in session.execute(statement)]


def running(session: Session, started_before: datetime, limit: int) -> list[Fence]:
    """Up to ``limit`` jobs that have been running since before a moment, longest first.

    And those that began at a moment that is still far ahead: some host's clock was wrong, or ours is.
    """
    ahead = utcnow() + AHEAD
    statement = (
        select(Job.id, Job.attempt)
        .where(Job.status == Status.RUNNING, or_(Job.started_at < started_before, Job.started_at > ahead))
        .order_by(Job.started_at)
        .limit(limit)
    )
    return [Fence(job, attempt) for job, attempt in session.execute(statement)]


def _end(session: Session, outcomes: Sequence[Outcome]) -> int:
    behind = _behind(session) if any(o.run_at for o in outcomes) else timedelta()
    return _write(session, _finish().values(
        status=bindparam("b_status"), finished_at=bindparam("b_finished_at"), result=bindparam("b_result"),
        run_at=func.coalesce(bindparam("b_run_at", type_=Job.run_at.type), Job.run_at)
    ), [
        {**_row(o), "b_status": o.status, "b_finished_at": o.finished_at, "b_result": o.result,
         "b_run_at": o.run_at and o.run_at + behind}
        for o in outcomes
    ])


def _behind(session: Session) -> timedelta:
    """How far this host's clock is behind the one that all hosts share: by it a pause before a retry is counted here,
    and by the shared one it ends. Nothing where the two agree but for the time that it takes to ask.
    """
    lag = shared_now(session) - utcnow()
    return lag if abs(lag) >= AGREE else timedelta()


def _demote(session: Session, outcomes: Sequence[Outcome]) -> int:
    return _write(session, _finish().values(
        status=Status.PENDING, band=bindparam("b_band"), enqueued_at=bindparam("b_finished_at"),
        overruns=Job.overruns + 1, max_attempts=Job.max_attempts + bindparam("b_more", type_=Job.max_attempts.type)
    ), [{**_row(o), "b_band": o.band, "b_finished_at": o.finished_at, "b_more": int(not o.counts)} for o in outcomes])


def _finish() -> Update:
    return (
        update(Job)
        .where(Job.id == bindparam("b_id"), Job.attempt == bindparam("b_attempt"), Job.status == Status.RUNNING)
        .values(started_at=bindparam("b_started_at"), run_time=bindparam("b_run_time"), error=bindparam("b_error"))
    )


def _row(outcome: Outcome) -> dict[str, Any]:
    return {"b_id": outcome.job, "b_attempt": outcome.attempt, "b_started_at": outcome.started_at,
            "b_run_time": outcome.run_time, "b_error": outcome.error}


def _write(session: Session, statement: Update, rows: Sequence[dict[str, Any]]) -> int:
    if not rows:
        return 0
    done: CursorResult[Any] = session.connection().execute(statement, rows)
    return done.rowcount


def _allow(source: Status, target: Status) -> None:
    if target not in TRANSITIONS[source]:
        raise ValueError(f"no job goes from {source} to {target}")


def waiting_job(row: Any) -> WaitingJob:
    """The board's view of a row of jobs. One that has overrun takes at least as long as it took when it was stopped."""
    seconds = max(row.execution_time, row.run_time or 0.0) if row.overruns else row.execution_time
    return WaitingJob(row.id, row.site_id, row.user_id, row.band, seconds, row.attempt, row.enqueued_at.timestamp())


def _waits(job: Fence) -> tuple[ColumnElement[bool], ...]:
    return Job.id == job.job, Job.attempt == job.attempt, Job.status.in_(WAITING)


def _at_their_attempts(slice_: Slice) -> ColumnElement[bool]:
    return tuple_(Job.id, Job.attempt).in_([(fence.job, fence.attempt) for fence in slice_.jobs])


def _pending() -> Any:
    return select(*_WAITING_COLUMNS).where(Job.status == Status.PENDING)


def _count(result: Any) -> int:
    return int(result.rowcount)
