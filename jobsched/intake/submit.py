"""Submits jobs: inserts, changes, removes, cancels and retries them. It is the only way in for jobs.

Each function writes in a transaction of :func:`jobsched.ledger.database.writing`, and has this transaction tell the
board once it is committed. The committed row is the outbox: what the board misses while Redis is away, the sweep brings
it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from jobsched.base.failpoints import failpoint
from jobsched.board import Board
from jobsched.board.without_redis import if_redis_answers
from jobsched.config import Settings
from jobsched.domain import TERMINAL, WAITING, Conflict, Fence, Status
from jobsched.intake import admission
from jobsched.intake.drafts import JobDraft, checked
from jobsched.ledger import lookup, moves
from jobsched.ledger.database import after_commit
from jobsched.ledger.models import Job, shared_now
from jobsched.queues import scheduler


def insert_jobs(session: Session, board: Board, drafts: Mapping[str, JobDraft], settings: Settings) -> list[Job]:
    """Insert the drafts, all or none, and return their rows in the same order.

    Raises Invalid with every fault of :func:`jobsched.intake.drafts.find_faults`, or TooManyPending.
    """
    drafts, bounded = checked(session, board, drafts, settings)
    if not drafts:
        return []
    admission.admit(session, bounded)
    # A microsecond apart, so that a batch keeps its order where the order of arrival counts.
    now, step = shared_now(session), timedelta(microseconds=1)
    rows = [_row(draft, now + i * step, settings) for i, draft in enumerate(drafts.values())]
    jobs = list(session.scalars(insert(Job).returning(Job, sort_by_parameter_order=True), rows))
    failpoint("submit.inserted", effect="sql")
    after_commit(session, partial(_place, board, jobs))
    return jobs


def change(session: Session, board: Board, job_id: int, draft: JobDraft, settings: Settings) -> Job:
    """Rewrite a waiting job, also its estimate and its band, and return its row.

    Raises NotFound, Invalid, TooManyPending, or Conflict when a worker has it already or it has ended.
    """
    job = _waiting(session, job_id)
    drafts, bounded = checked(session, board, {"": draft}, settings)
    if draft.site != job.site_id:
        admission.admit(session, bounded)
    # Only now: a draft that is refused would leave the job off the board until the next sweep.
    _take_aside(board, job)
    row = _row(drafts[""], shared_now(session), settings)
    del row["submitted_at"], row["max_attempts"]
    changed = moves.rewrite(session, Fence(job.id, job.attempt), row)
    if changed is None:
        raise Conflict(f"job {job_id} no longer waits")
    after_commit(session, partial(_replace, board, changed))
    return changed


def remove(session: Session, board: Board, job_id: int) -> None:
    """Delete a waiting job. Raises NotFound, or Conflict when a worker has it already or it has ended."""
    job = _waiting(session, job_id)
    _take_aside(board, job)
    if not moves.remove(session, Fence(job.id, job.attempt)):
        raise Conflict(f"job {job_id} no longer waits")


def cancel(session: Session, board: Board, job_id: int) -> Job:
    """Cancel a waiting job and return its row. Raises NotFound, or Conflict when it does not wait."""
    job = lookup.find(session, Job, job_id)
    if not moves.cancel(session, job_id):
        raise Conflict(f"job {job_id} is {job.status}: only a waiting job can be cancelled")
    session.refresh(job)
    after_commit(session, partial(_drop, board, job))
    return job


def retry(session: Session, board: Board, job_id: int, settings: Settings) -> Job:
    """Make a failed or cancelled job pending and return its row. Raises NotFound, Conflict or TooManyPending."""
    job = lookup.find(session, Job, job_id)
    if job.status in TERMINAL:
        admission.admit(session, {"": job.site_id})
    if not moves.retry(session, job_id, settings.max_attempts):
        raise Conflict(f"job {job_id} is {job.status}: only a failed or cancelled job can be retried")
    session.refresh(job)
    after_commit(session, partial(_replace, board, job))
    return job


def _place(board: Board, jobs: Collection[Job]) -> None:
    """Put the pending ones of committed jobs on the board, and ask for a wake for the scheduled ones."""
    pending = [moves.waiting_job(job) for job in jobs if job.status == Status.PENDING]
    moments = {job.run_at for job in jobs if job.status == Status.SCHEDULED and job.run_at}
    with if_redis_answers("place jobs"):
        failpoint("submit.committed", effect="sql")
        scheduler.wake_at(board.redis, moments)
        failpoint("submit.wake_asked")
        board.place(pending)
        failpoint("submit.placed")


def _replace(board: Board, job: Job) -> None:
    """Put a rewritten job where it now belongs, also when a sweep has placed its old form meanwhile."""
    _drop(board, job)
    _place(board, [job])


def _drop(board: Board, job: Job) -> None:
    """Take a job that no longer waits off the board."""
    with if_redis_answers("drop jobs"):
        failpoint("submit.withdrawn", effect="sql")
        board.drop([job.id])
        failpoint("submit.dropped")


def _take_aside(board: Board, job: Job) -> None:
    """Take a waiting job off the board before it is rewritten, so that no worker gets it meanwhile. Raises Conflict."""
    with if_redis_answers("take a job aside"):
        found = board.drop([job.id])[job.id]
        failpoint("submit.taken_aside")
        if found < 0:
            raise Conflict(f"job {job.id} has been handed to a worker")


def _waiting(session: Session, job_id: int) -> Job:
    job = lookup.find(session, Job, job_id)
    if job.status not in WAITING:
        raise Conflict(f"job {job_id} is {job.status}: it can be changed only while it waits")
    return job


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
