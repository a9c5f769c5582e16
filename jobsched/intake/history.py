"""Deletes the ended jobs of a site or a user record in portions, so that no other request waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy.orm import Session

from jobsched.base.failpoints import failpoint
from jobsched.domain import TERMINAL, Conflict, Status
from jobsched.ledger.database import writing
from jobsched.ledger.models import Job

#: Jobs that one transaction deletes. SQLite's other writers wait for it: some 30 ms on a slow machine.
PORTION = 1_000

ENDED = Job.status.in_(TERMINAL)
_UNFINISHED = Job.status.in_([status for status in Status if status not in TERMINAL])


def refuse_unfinished(session: Session, jobs: Sequence[ColumnElement[bool]], who_has: str) -> None:
    """Raise Conflict while a job that one of ``jobs`` describes has not ended."""
    if any(session.scalar(select(exists().where(some, _UNFINISHED))) for some in jobs):
        raise Conflict(f"{who_has} jobs that have not ended: cancel them or let them end, then delete")


def delete_ended(jobs: Sequence[ColumnElement[bool]], check: Callable[[Session], object]) -> int:
    """Delete the ended jobs that any of ``jobs`` describes; returns how many.

    Each PORTION is a transaction of its own, in which ``check`` is called first; what it raises ends the call, a
    Conflict by way of :func:`part_is_gone`. What is deleted by then stays so, and another call goes on from there.
    Between two portions others get as much time as a portion took.
    """
    total = 0
    for some in jobs:
        while True:
            begun = time.monotonic()
            with part_is_gone(total), writing() as session:
                check(session)
                portion = select(Job.id).where(some, ENDED).limit(PORTION)
                # Named again outside: a job that somebody retries meanwhile has not ended.
                statement = delete(Job).where(Job.id.in_(portion), ENDED)
                deleted = session.connection().execute(statement).rowcount
            failpoint("web.portion_deleted", effect="sql")
            total += deleted
            if deleted < PORTION:
                break
            time.sleep(time.monotonic() - begun)
    return total


@contextmanager
def part_is_gone(deleted: int) -> Iterator[None]:
    """Have a Conflict of the block say that so many ended jobs are deleted already: a job came between two portions."""
    try:
        yield
    except Conflict as error:
        if not deleted:
            raise
        raise Conflict(f"{error}; {deleted} that had ended are deleted already, and another delete goes on from "
                       "there") from error
