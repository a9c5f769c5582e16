"""Records outcomes in the ledger: together, or one by one if one of them cannot be stored."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from jobsched.base import database_errors
from jobsched.base.database_errors import Kind
from jobsched.base.failpoints import failpoint
from jobsched.domain import Status
from jobsched.ledger import moves
from jobsched.ledger.database import patiently, writing
from jobsched.ledger.models import utcnow
from jobsched.ledger.moves import Outcome
from jobsched.work.errors import ERROR_BYTES
from jobsched.work.shorten import shorten

log = logging.getLogger(__name__)

#: What a driver, a type of ours or the finish fence raises for an outcome that it will not take.
_ERRORS = (SQLAlchemyError, ValueError, TypeError, ArithmeticError)
#: No start takes longer, in seconds.
_LONGEST_S = 1e9


def record(ended: Sequence[Outcome]) -> int:
    """The finish fence, with patience for a database that is away; returns how many came too late.

    One that can not be stored costs the others nothing: its job has failed then, and says why.
    """
    try:
        recorded = _finish(ended)
    except _ERRORS as error:
        if not _is_its_own_fault(error):
            raise
        log.warning("%d outcomes can not be recorded together, so one by one: %s", len(ended), _sentence(error))
        recorded = sum(_record_alone(outcome) for outcome in ended)
    late = len(ended) - recorded
    if late:
        log.warning("%d of %d outcomes came too late: the jobs were given back meanwhile", late, len(ended))
    return late


def _finish(ended: Sequence[Outcome]) -> int:
    def finish() -> int:
        with writing() as session:
            recorded = moves.finish(session, ended)
        failpoint("run.committed", effect="sql")
        return recorded

    return patiently(finish)


def _record_alone(outcome: Outcome) -> int:
    try:
        return _finish([outcome])
    except _ERRORS as error:
        if not _is_its_own_fault(error):
            raise
        return _finish([_unstorable(outcome, error)])


def _is_its_own_fault(error: BaseException) -> bool:
    """Whether it is the outcome that was refused, and would be again; not that the database can take none."""
    return database_errors.meaning(error).kind not in (Kind.AWAY, Kind.UNFIT)


def _unstorable(outcome: Outcome, refusal: BaseException) -> Outcome:
    """The failure of a job whose outcome was refused: in ASCII, with times and numbers that every database takes."""
    finished_at, said, run_time = utcnow(), outcome.error, outcome.run_time
    if type(run_time) is not float or not 0 <= run_time < _LONGEST_S:
        run_time = 0.0
    why = f"how it ended can not be recorded ({_sentence(refusal)})"
    error = shorten(f"{said}\n{why}" if type(said) is str and said else why, ERROR_BYTES // 2)
    return replace(
        outcome, status=Status.FAILED, started_at=finished_at - timedelta(seconds=run_time),
        finished_at=finished_at, run_time=run_time,
        result=None, error=error.encode("ascii", "backslashreplace").decode(), run_at=None, band=None, counts=True,
    )


def _sentence(error: BaseException) -> str:
    """What a refusal says, without the statement and its values."""
    return shorten(f"{type(error).__name__}: {getattr(error, 'orig', None) or error}", 500)
