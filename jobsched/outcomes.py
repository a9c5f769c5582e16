"""What becomes of a job after one of its starts: it is done, fails, tries again, or goes into the next lane.

Nothing here does I/O or reads a clock.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobsched import tasks
from jobsched.config import Settings
from jobsched.domain import MOST_NESTING, Band, JobschedError, Status, is_deeper_than
from jobsched.lease import Overrun, TimeLimitExceeded
from jobsched.ledger import Outcome, StartedJob

#: Without a ``timeout_s`` of its task, a start may take this many times its band's bound, and at least LEAST_LIMIT_S.
LIMIT_FACTOR = 10
LEAST_LIMIT_S = 30.0
#: The most of a traceback that is recorded, in characters.
ERROR_LENGTH = 8_000


class BadResult(JobschedError):
    """A task returned what can not be recorded."""


@dataclass(frozen=True)
class Start:
    """A start that has ended: when, after how many measured seconds, and whether its work may be done again."""

    job: StartedJob
    started_at: datetime
    finished_at: datetime
    run_time: float
    may_repeat: bool = True


def default_limit_s(job: StartedJob, settings: Settings) -> float:
    """The longest that one start of a job may take, in seconds, unless its task says."""
    band = _band(job, settings.bands)
    return max(LEAST_LIMIT_S, LIMIT_FACTOR * (band.bound_s if band else job.execution_time))


def overrun_s(job: StartedJob, settings: Settings) -> float | None:
    """After how many seconds one start of a job overruns its lane; None where it may go on up to its limit."""
    band = _band(job, settings.bands)
    last = band is settings.bands[-1]
    if band is None or settings.overrun == "allow" or (last and settings.overrun == "demote"):
        return None
    return band.bound_s + settings.overrun_grace_ms / 1000


def of_result(start: Start, result: Any) -> Outcome:
    """Its task returned ``result``, which is :func:`recordable`."""
    return _outcome(start, Status.COMPLETED, result=result)


def of_error(start: Start, raised: BaseException, settings: Settings) -> Outcome:
    """Its task raised, or was stopped: an overrun goes by ``settings.overrun``, all else is a failure."""
    limit_s = overrun_s(start.job, settings)
    stop = next((error for error in _line_of(raised) if isinstance(error, Overrun | TimeLimitExceeded)), None)
    if limit_s is None or not isinstance(stop, Overrun):
        return of_failure(start, _describe(raised))
    why = (f"took longer than {limit_s:g} s, which is the bound of {start.job.band} and "
           f"{settings.overrun_grace_ms:g} ms of grace; {start.job.execution_time:g} s were estimated")
    if settings.overrun == "fail":  # whatever retries are left: it would overrun again
        return _outcome(start, Status.FAILED, error=why)
    return _demoted(start, why, settings.bands)


def of_failure(start: Start, error: str) -> Outcome:
    """A failure with ``error``; when its task has a retry left, and the job an attempt, it is scheduled for that."""
    job, run_at = start.job, None
    if job.attempt < job.max_attempts:
        with suppress(tasks.UnknownTask):
            delay_s = tasks.find(job.task).delay_before_retry(job.attempt - job.overruns)
            run_at = None if delay_s is None else start.finished_at + timedelta(seconds=delay_s)
    return _outcome(start, Status.SCHEDULED if run_at else Status.FAILED, error=error, run_at=run_at)


def recordable(result: Any) -> Any:
    """The result as JSON would give it back. Raises BadResult."""
    try:
        size = len(json.dumps(result, allow_nan=False, ensure_ascii=False).encode())
        plain = json.loads(json.dumps(result))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadResult(f"a task must return what JSON can hold: {error}") from None
    if size > tasks.RESULT_BYTES:
        raise BadResult(f"a task must return at most {tasks.RESULT_BYTES} bytes of JSON; got {size}")
    if is_deeper_than(MOST_NESTING, plain):
        raise BadResult(f"a task must return JSON that nests at most {MOST_NESTING} levels")
    return plain


def _demoted(start: Start, why: str, bands: Sequence[Band]) -> Outcome:
    """Into the next lane; counted as an attempt only when its work may not be done again for nothing."""
    job = start.job
    if not start.may_repeat and job.attempt >= job.max_attempts:
        return _outcome(start, Status.FAILED, error=f"{why}; its work must not repeat, and no attempt is left")
    names = [band.name for band in bands]
    band = names[names.index(job.band) + 1]
    return _outcome(start, Status.PENDING, error=f"{why}; put into {band}", band=band, counts=not start.may_repeat)


def _outcome(start: Start, status: Status, **fields: Any) -> Outcome:
    return Outcome(start.job.id, start.job.attempt, status, start.started_at, start.finished_at, start.run_time,
                   **fields)


def _band(job: StartedJob, bands: Sequence[Band]) -> Band | None:
    return next((band for band in bands if band.name == job.band), None)


def _line_of(raised: BaseException | None) -> Iterator[BaseException]:
    """What was raised, and what was handled when it was: to be stopped may break what a task does on its way out."""
    while raised is not None:
        yield raised
        raised = raised.__context__


def _describe(raised: BaseException) -> str:
    told = isinstance(raised, TimeLimitExceeded | JobschedError)
    text = str(raised) if told else "".join(traceback.format_exception(raised))
    return text[-ERROR_LENGTH:].replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
