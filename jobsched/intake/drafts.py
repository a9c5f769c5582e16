"""Checks jobs before they are submitted: fills in their estimates, and finds their faults. Nothing here writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from jobsched import tasks
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.domain import LEAST_EXECUTION_TIME_S, ExecutionTimeTooLong, FieldError, Invalid
from jobsched.intake import admission, estimates
from jobsched.ledger import lookup
from jobsched.ledger.models import Site, UserRecord


@dataclass(frozen=True)
class JobDraft:
    """A job as a client wishes for it; a ``run_at`` (aware) in the future schedules it for then.

    ``execution_time`` in seconds is estimated from history where it is None; ``estimated`` says that it has been.
    """

    user: int
    site: int
    execution_time: float | None = None
    task: str = "sleep"
    payload: Mapping[str, Any] = field(default_factory=dict)
    run_at: datetime | None = None
    estimated: bool = False


def find_faults(session: Session, board: Board, drafts: Mapping[str, JobDraft], settings: Settings) -> list[FieldError]:
    """What is wrong with drafts, each known by the JSON pointer to it: users, sites, times, tasks.

    A task is good that is registered in this process, or that a living worker knows, whose code may be newer.
    """
    return _look(session, board, with_estimates(session, drafts, settings), settings)[0]


def checked(
    session: Session, board: Board, drafts: Mapping[str, JobDraft], settings: Settings
) -> tuple[Mapping[str, JobDraft], Mapping[str, int]]:
    """The drafts with their estimates; and, by the pointers to them, those of their sites that limit what waits.

    Raises Invalid with every fault of :func:`find_faults`.
    """
    drafts = with_estimates(session, drafts, settings)
    errors, bounded = _look(session, board, drafts, settings)
    if errors:
        raise Invalid(errors)
    return drafts, bounded


def with_estimates(session: Session, drafts: Mapping[str, JobDraft], settings: Settings) -> Mapping[str, JobDraft]:
    """The drafts, with execution times from history where the client gave none and there is history."""
    open_ = {pointer: (draft.site, draft.task) for pointer, draft in drafts.items() if draft.execution_time is None}
    sites = lookup.existing(session, Site, {site for site, _ in open_.values()})
    known = estimates.estimates(session, (of for of in open_.values() if of[0] in sites))
    bound_s = settings.bands.longest.bound_s
    return {**drafts, **{
        pointer: dataclasses.replace(drafts[pointer], execution_time=known[of].within(bound_s), estimated=True)
        for pointer, of in open_.items() if of in known
    }}


def _look(
    session: Session, board: Board, drafts: Mapping[str, JobDraft], settings: Settings
) -> tuple[list[FieldError], dict[str, int]]:
    """What is wrong with drafts that have their estimates; and their sites that limit what waits, as in checked()."""
    users = lookup.existing(session, UserRecord, {draft.user for draft in drafts.values()})
    sites = admission.bounds(session, {draft.site for draft in drafts.values()})
    known = _known_tasks(board, {draft.task for draft in drafts.values()})
    errors: list[FieldError] = []
    for pointer, draft in drafts.items():
        if draft.user not in users:
            errors.append(FieldError(f"{pointer}/user", f"no user record {draft.user}"))
        if draft.site not in sites:
            errors.append(FieldError(f"{pointer}/site", f"no site {draft.site}"))
        if draft.execution_time is not None:
            if fault := _fault_of_time(draft.execution_time, settings):
                errors.append(FieldError(f"{pointer}/execution_time", fault))
        elif draft.site in sites and draft.task in known:
            errors.append(FieldError(f"{pointer}/execution_time", _no_history(draft.task)))
        if draft.task not in known:
            errors.append(FieldError(f"{pointer}/task", str(tasks.UnknownTask(draft.task))))
    bounded = {f"{pointer}/site": draft.site for pointer, draft in drafts.items() if sites.get(draft.site) is not None}
    return errors, bounded


def _known_tasks(board: Board, names: Iterable[str]) -> Collection[str]:
    """The tasks that this process knows; and, if others are among ``names``, those that living workers know."""
    own = set(tasks.names())
    with suppress(RedisError):  # then our own have to do
        return own if own.issuperset(names) else own | board.codes.tasks()
    return own


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
