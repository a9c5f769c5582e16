"""Submits jobs: inserts, changes and deletes their rows, and places them on the board after the commit.

The row, committed, is the outbox: the functions that write take a session and belong inside
:func:`jobsched.ledger.database.writing`; those that tell the board come after the commit, and never fail because Redis
does. What the board misses meanwhile, the sweep brings it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import delete, insert, update
from sqlalchemy.orm import Session

from jobsched import tasks
from jobsched.base.failpoints import failpoint
from jobsched.board import Board
from jobsched.board.absence import if_redis_answers
from jobsched.config import Settings
from jobsched.domain import (
    LEAST_EXECUTION_TIME_S,
    TERMINAL,
    WAITING,
    Conflict,
    ExecutionTimeTooLong,
    FieldError,
    Invalid,
    Status,
)
from jobsched.intake import admission, estimates
from jobsched.ledger import lookup, moves
from jobsched.ledger.models import Job, Site, UserRecord, shared_now
from jobsched.ledger.moves import waiting_job
from jobsched.queues import schedule


@dataclass(frozen=True)
class JobDraft:
    """A job as somebody wishes it; ``run_at`` (aware) in the future schedules it for then.

    ``execution_time`` in seconds is estimated from history where it is None; ``estimated`` says that it has been.
    """

    user: int
    site: int
    execution_time: float | None = None
    task: str = "sleep"
    payload: Mapping[str, Any] = field(default_factory=dict)
    run_at: datetime | None = None
    estimated: bool = False


def with_estimates(session: Session, drafts: Mapping[str, JobDraft], settings: Settings) -> Mapping[str, JobDraft]:
    """The drafts, in which history has filled in the execution times that it knows and nobody said."""
    open_ = {pointer: (draft.site, draft.task) for pointer, draft in drafts.items() if draft.execution_time is None}
    sites = lookup.existing(session, Site, {site for site, _ in open_.values()})
    known = estimates.estimates(session, (of for of in open_.values() if of[0] in sites))
    bound_s = settings.bands.longest.bound_s
    return {**drafts, **{
        pointer: dataclasses.replace(drafts[pointer], execution_time=known[of].within(bound_s), estimated=True)
        for pointer, of in open_.items() if of in known
    }}


def known_elsewhere(board: Board, names: Iterable[str]) -> set[str]:
    """Those of ``names`` that are no tasks of this process, but of a living worker, whose code may be newer."""
    missing = set(names) - set(tasks.names())
    with suppress(RedisError):  # then our own have to do
        return missing & board.known_tasks() if missing else set()
    return set()


def faults(session: Session, drafts: Mapping[str, JobDraft], settings: Settings,
           elsewhere: Collection[str] = ()) -> list[FieldError]:
    """What is wrong with drafts, each known by the JSON pointer to it: users, sites, times, tasks.

    A task is one that is registered in this process, or one of ``elsewhere`` (see :func:`known_elsewhere`).
    """
    return _look(session, with_estimates(session, drafts, settings), settings, elsewhere)[0]


def _look(
    session: Session, drafts: Mapping[str, JobDraft], settings: Settings, elsewhere: Collection[str]
) -> tuple[list[FieldError], dict[str, int]]:
    """What is wrong with estimated drafts; and, by the pointers to them, the sites that bound what waits."""
    users = lookup.existing(session, UserRecord, {draft.user for draft in drafts.values()})
    sites = admission.bounds(session, {draft.site for draft in drafts.values()})
    registered = {*tasks.names(), *elsewhere}
    errors: list[FieldError] = []
    for pointer, draft in drafts.items():
        if draft.user not in users:
            errors.append(FieldError(f"{pointer}/user", f"no user record {draft.user}"))
        if draft.site not in sites:
            errors.append(FieldError(f"{pointer}/site", f"no site {draft.site}"))
        if draft.execution_time is not None:
            if fault := _fault_of_time(draft.execution_time, settings):
                errors.append(FieldError(f"{pointer}/execution_time", fault))
        elif draft.site in sites and draft.task in registered:
            errors.append(FieldError(f"{pointer}/execution_time", _no_history(draft.task)))
        if draft.task not in registered:
            errors.append(FieldError(f"{pointer}/task", str(tasks.UnknownTask(draft.task))))
    bounded = {f"{pointer}/site": draft.site for pointer, draft in drafts.items() if sites.get(draft.site) is not None}
    return errors, bounded


def insert_jobs(session: Session, drafts: Mapping[str, JobDraft], settings: Settings,
                elsewhere: Collection[str] = ()) -> list[Job]:
    """Insert the drafts, all or none, and return their rows in the same order.

    Raises Invalid with every fault of :func:`faults`, or TooManyPending.
    """
    drafts = with_estimates(session, drafts, settings)
    errors, bounded = _look(session, drafts, settings, elsewhere)
    if errors:
        raise Invalid(errors)
    if not drafts:
        return []
    admission.admit(session, bounded)
    # A microsecond apart, so that a batch keeps its order where the order of arrival counts.
    now, step = shared_now(session), timedelta(microseconds=1)
    rows = [_row(draft, now + i * step, settings) for i, draft in enumerate(drafts.values())]
    jobs = list(session.scalars(insert(Job).returning(Job, sort_by_parameter_order=True), rows))
    failpoint("submit.inserted", effect="sql")
    return jobs


def change(session: Session, board: Board, job_id: int, draft: JobDraft, settings: Settings) -> Job:
    """Rewrite a waiting job, also its estimate and its band. Call :func:`replace` after the commit.

    Raises NotFound, Invalid, TooManyPending, or Conflict when it is with a worker already or has ended.
    """
    job = _waiting(session, job_id)
    draft = with_estimates(session, {"": draft}, settings)[""]
    errors, bounded = _look(session, {"": draft}, settings, known_elsewhere(board, [draft.task]))
    if errors:
        raise Invalid(errors)
    if draft.site != job.site_id:
        admission.admit(session, bounded)
    # Only now: a draft that is refused would leave the job off the board until the next sweep.
    _take_aside(board, job)
    row = {**_row(draft, shared_now(session), settings)}
    del row["submitted_at"], row["max_attempts"]
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.attempt == job.attempt, Job.status.in_(WAITING))
        .values(**row)
        .returning(Job)
    )
    changed = session.scalars(statement, execution_options={"populate_existing": True}).one_or_none()
    if changed is None:
        raise Conflict(f"job {job_id} does not wait any more")
    return changed


def remove(session: Session, board: Board, job_id: int) -> None:
    """Delete a waiting job. Raises NotFound, or Conflict when it is with a worker already or has ended."""
    job = _waiting(session, job_id)
    _take_aside(board, job)
    statement = delete(Job).where(
        Job.id == job_id, Job.attempt == job.attempt, Job.status.in_(WAITING)
    )
    if session.execute(statement).rowcount == 0:  # type: ignore[attr-defined]
        raise Conflict(f"job {job_id} does not wait any more")


def cancel(session: Session, job_id: int) -> None:
    """Cancel a waiting job. Call :func:`drop` after the commit. Raises NotFound, or Conflict when it does not wait."""
    job = lookup.find(session, Job, job_id)
    if not moves.cancel(session, job_id):
        raise Conflict(f"job {job_id} is {job.status}: only a waiting job can be cancelled")


def retry(session: Session, job_id: int, settings: Settings) -> None:
    """Make a failed or cancelled job pending. Call :func:`replace` after the commit.

    Raises NotFound, Conflict or TooManyPending.
    """
    job = lookup.find(session, Job, job_id)
    if job.status in TERMINAL:
        admission.admit(session, {"": job.site_id})
    if not moves.retry(session, job_id, settings.max_attempts):
        raise Conflict(f"job {job_id} is {job.status}: only a failed or cancelled job can be retried")


def place(board: Board, jobs: Collection[Job]) -> None:
    """Put the pending ones of new jobs on the board, and ask for a wake for the scheduled ones."""
    pending = [waiting_job(job) for job in jobs if job.status == Status.PENDING]
    moments = {job.run_at for job in jobs if job.status == Status.SCHEDULED and job.run_at}
    with if_redis_answers("place jobs"):
        failpoint("submit.committed", effect="sql")
        schedule.wake_at(board.redis, moments)
        failpoint("submit.wake_asked")
        board.place(pending)
        failpoint("submit.placed")


def replace(board: Board, job: Job) -> None:
    """Put a rewritten job where it now belongs, also when a sweep has placed its old form meanwhile."""
    drop(board, [job.id])
    place(board, [job])


def drop(board: Board, job_ids: Sequence[int]) -> None:
    """Take jobs that do not wait any more off the board."""
    with if_redis_answers("drop jobs"):
        failpoint("submit.withdrawn", effect="sql")
        board.drop(job_ids)
        failpoint("submit.dropped")


def _fault_of_time(execution_time: float, settings: Settings) -> str | None:
    if not execution_time >= LEAST_EXECUTION_TIME_S:
        return f"must be at least {LEAST_EXECUTION_TIME_S:f} s"
    try:
        settings.bands.holding(execution_time)
    except ExecutionTimeTooLong as error:
        return str(error)
    return None


def _no_history(task: str) -> str:
    return f"is needed, in seconds: no job of task {task!r} has completed yet, so there is nothing to estimate it from"


def _waiting(session: Session, job_id: int) -> Job:
    job = lookup.find(session, Job, job_id)
    if job.status not in WAITING:
        raise Conflict(f"job {job_id} is {job.status}: it can be changed only while it waits")
    return job


def _take_aside(board: Board, job: Job) -> None:
    """Take a waiting job off the board, so that no worker gets it meanwhile."""
    with if_redis_answers("take a job aside"):
        outcome = board.drop([job.id])[job.id]
        failpoint("submit.taken_aside")
        if outcome < 0:
            raise Conflict(f"job {job.id} has been handed to a worker")


def _row(draft: JobDraft, now: datetime, settings: Settings) -> dict[str, Any]:
    assert draft.execution_time is not None, "a draft without one has a fault"
    later = draft.run_at is not None and draft.run_at > now
    return {
        "user_id": draft.user,
        "site_id": draft.site,
        "task": draft.task,
        "payload": dict(draft.payload),
        "execution_time": draft.execution_time,
        "estimated": draft.estimated,
        "overruns": 0,
        "band": settings.bands.holding(draft.execution_time).name,
        "status": Status.SCHEDULED if later else Status.PENDING,
        "run_at": draft.run_at,
        "max_attempts": settings.max_attempts,
        "submitted_at": now,
        "enqueued_at": draft.run_at if later else now,
    }
