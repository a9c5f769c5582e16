"""What RQ's workers call. A slice: start fence, run each job, finish fence, settle."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from flask import Flask
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from jobsched import ledger, schedule, tasks
from jobsched.board import Board
from jobsched.config import Settings, load
from jobsched.connections import connect
from jobsched.database import ledger_app, patiently, reading, writing
from jobsched.domain import MOST_NESTING, BoardLost, Fence, JobschedError, Slice, Status, is_deeper_than
from jobsched.failpoints import failpoint
from jobsched.lease import HARD_GRACE_S, Lease, LeaseLost, TimeLimitExceeded
from jobsched.ledger import Outcome, StartedJob
from jobsched.models import utcnow

log = logging.getLogger(__name__)

#: Outcomes are recorded together, but none waits longer than this for its neighbours, in seconds.
RECORD_EVERY_S = 0.1
#: Without a ``timeout_s`` of its task, a start may take this many times its band's bound, and at least LEAST_LIMIT_S.
LIMIT_FACTOR = 10
LEAST_LIMIT_S = 30.0
#: The most of a traceback that is recorded, in characters.
ERROR_LENGTH = 8_000


class BadResult(JobschedError):
    """A task returned what can not be recorded."""


@dataclass(frozen=True)
class Runtime:
    """What a worker process needs; made once, before it forks."""

    settings: Settings
    app: Flask
    board: Board


@lru_cache(maxsize=1)
def runtime() -> Runtime:
    """The process's runtime, from its environment; imports the task modules. Raises ConfigError, ImportError."""
    settings = load()
    tasks.load(settings.tasks)
    return Runtime(settings, ledger_app(settings), Board(connect(settings.redis_url)))


def warm_up() -> None:
    """Do once, before a fork, what each child would do anew for its slice: set up mappers, compile the statements."""
    nobody = Slice("", 0, "", 0, 0.0, (Fence(0, 0),))
    then = utcnow()
    try:
        with runtime().app.app_context(), writing() as session:
            ledger.start(session, nobody)
            ledger.finish(session, [Outcome(0, 0, Status.COMPLETED, then, then, 0.0)])
    except SQLAlchemyError as error:  # the workers are patient where we need not be
        log.warning("no warm start: %s", error)


def run_slice(
    slice_id: str, site: int, band: str, points: int, dispatched_at: float, jobs: Sequence[Sequence[int]]
) -> None:
    """Run the jobs of one slice that are still ours to run, and record how each ended."""
    now = runtime()
    slice_ = Slice(slice_id, site, band, points, dispatched_at, tuple(Fence(job, attempt) for job, attempt in jobs))
    with now.app.app_context():
        SliceRun(now, slice_).run()


def wake() -> int:
    """Place the scheduled jobs that are due; returns how many."""
    now = runtime()
    with now.app.app_context():
        return schedule.wake_due(now.board)


def tidy() -> int:
    """Delete what is kept for a while only; returns how many rows."""
    with runtime().app.app_context():
        return schedule.tidy()


class SliceRun:
    """One slice in the hands of this process."""

    def __init__(self, now: Runtime, slice_: Slice) -> None:
        self._now = now
        self._slice = slice_
        self._started: list[StartedJob] = []
        self._current: tuple[StartedJob, datetime] | None = None
        self._waiting: list[Outcome] = []
        self._lease = Lease(self._renew, now.settings.lease_s / 3, self._record_killed)

    def run(self) -> None:
        """Start fence, the tasks, finish fence, settle; without the last when the slice was taken from us."""
        failpoint("run.popped")
        with self._lease:
            self._started = patiently(self._start)
            used_s, retries = self._run_all()
            if self._lease.lost:
                log.warning("slice %s was taken back while it ran", self._slice.id)
                return
            with _redis_may_be_away("settle"):
                failpoint("run.recorded", effect="sql")
                self._now.board.settle(self._slice.id, used_s)
                failpoint("run.settled")
                schedule.wake_at(self._now.board.redis, retries)
                failpoint("run.retries_asked")

    def _start(self) -> list[StartedJob]:
        with writing() as session:
            started = ledger.start(session, self._slice)
        failpoint("run.started", effect="sql")
        return started

    def _run_all(self) -> tuple[float, list[datetime]]:
        """Run the jobs in turn, recording outcomes as they come in; returns the seconds used, and when to retry."""
        used_s, recorded_at = 0.0, time.monotonic()
        retries: list[datetime] = []
        for job in self._started:
            try:
                outcome = self._perform(job)
            except LeaseLost:
                break
            used_s += outcome.run_time
            failpoint("run.performed", effect="sql")
            self._waiting.append(outcome)
            if outcome.run_at:
                retries.append(outcome.run_at)
            if time.monotonic() - recorded_at >= RECORD_EVERY_S:
                self._record_waiting()
                recorded_at = time.monotonic()
        self._record_waiting()
        return used_s, retries

    def _perform(self, job: StartedJob) -> Outcome:
        """Run one started job's task, and say how it ended. Whatever the task raises is an outcome."""
        started_at, clock = utcnow(), time.perf_counter()
        self._current = (job, started_at)
        result, error = None, None
        try:
            task = tasks.find(job.task)
            with self._lease.task(task.timeout_s or default_limit_s(job, self._now.settings)):
                result = task(job.payload, tasks.Run(job.id, job.attempt, job.site, job.user, job.execution_time))
            result = _recordable(result)
        except LeaseLost:
            raise
        except BaseException as raised:  # a neighbour's start has to be recorded, whatever this one raised
            result, error = None, _describe(raised)
        self._current = None
        return _outcome(job, started_at, time.perf_counter() - clock, result, error)

    def _record_waiting(self) -> None:
        record(self._waiting)
        self._waiting = []

    def _renew(self) -> bool:
        """Extend the lease; when the board has forgotten the slice, but SQL says that it is ours, put it back."""
        board, lease_s = self._now.board, self._now.settings.lease_s
        known = board.renew(self._slice.id, lease_s)
        failpoint("run.renewed")
        if known or not self._started:
            return True
        with self._now.app.app_context(), reading() as session:
            ours = ledger.running_in(session, self._slice.id, [job.id for job in self._started])
        if not ours:
            return False
        board.adopt(self._slice, self._started, lease_s)
        failpoint("run.adopted")
        return True

    def _record_killed(self) -> None:
        if self._current is None:
            return
        job, started_at = self._current
        used_s = (utcnow() - started_at).total_seconds()
        error = f"did not stop within {HARD_GRACE_S:g} s of its limit, and was killed"
        with self._now.app.app_context():
            record([*self._waiting, _outcome(job, started_at, used_s, None, error)])


def record(outcomes: Sequence[Outcome]) -> int:
    """The finish fence, with patience for a database that is away; returns how many came too late."""

    def finish() -> int:
        with writing() as session:
            recorded = ledger.finish(session, outcomes)
        failpoint("run.committed", effect="sql")
        return recorded

    late = len(outcomes) - patiently(finish)
    if late:
        log.warning("%d of %d outcomes came too late: the jobs were given back meanwhile", late, len(outcomes))
    return late


def default_limit_s(job: StartedJob, settings: Settings) -> float:
    """The longest that one start of a job may take, in seconds, unless its task says."""
    bound_s = next((band.bound_s for band in settings.bands if band.name == job.band), job.execution_time)
    return max(LEAST_LIMIT_S, LIMIT_FACTOR * bound_s)


def _outcome(job: StartedJob, started_at: datetime, used_s: float, result: Any, error: str | None) -> Outcome:
    """A start that raised goes on to a retry when its task has one left, and the job an attempt."""
    finished_at, run_at = utcnow(), None
    status = Status.COMPLETED if error is None else Status.FAILED
    if error is not None and job.attempt < job.max_attempts:
        with suppress(tasks.UnknownTask):
            delay_s = tasks.find(job.task).delay_before_retry(job.attempt)
            run_at = None if delay_s is None else finished_at + timedelta(seconds=delay_s)
    if run_at:
        status = Status.SCHEDULED
    return Outcome(job.id, job.attempt, status, started_at, finished_at, used_s, result, error, run_at)


def _recordable(result: Any) -> Any:
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


def _describe(raised: BaseException) -> str:
    told = isinstance(raised, TimeLimitExceeded | JobschedError)
    text = str(raised) if told else "".join(traceback.format_exception(raised))
    return text[-ERROR_LENGTH:].replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


@contextmanager
def _redis_may_be_away(what: str) -> Iterator[None]:
    """What Redis misses, an expired lease and the sweep make good."""
    try:
        yield
    except (RedisError, BoardLost) as error:
        log.warning("could not %s: %s", what, error)
