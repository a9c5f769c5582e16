"""What RQ's workers call. A slice: start fence, run each job, finish fence, settle."""

from __future__ import annotations

import json
import logging
import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from threading import Event, Thread
from typing import Any

from flask import Flask
from redis.exceptions import RedisError

from jobsched import ledger, schedule, tasks
from jobsched.board import Board
from jobsched.config import Settings, load
from jobsched.connections import connect
from jobsched.database import ledger_app, patiently, writing
from jobsched.domain import BoardLost, Fence, JobschedError, Slice, Status
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


class TimeLimitExceeded(BaseException):
    """A start took too long. Not an Exception, so that a task's ``except Exception`` does not swallow it."""


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


def run_slice(
    slice_id: str, site: int, band: str, points: int, dispatched_at: float, jobs: Sequence[Sequence[int]]
) -> None:
    """Run the jobs of one slice that are still ours to run, and record how each ended."""
    now = runtime()
    slice_ = Slice(slice_id, site, band, points, dispatched_at, tuple(Fence(job, attempt) for job, attempt in jobs))
    with now.app.app_context(), lease(now.board, slice_id, now.settings.lease_s):
        started = patiently(lambda: _start(slice_))
        used_s, retries = _run_all(started, now.settings)
        with _redis_may_be_away("settle"):
            now.board.settle(slice_id, used_s)
            schedule.wake_at(now.board.redis, retries)


def wake() -> int:
    """Place the scheduled jobs that are due; returns how many."""
    now = runtime()
    with now.app.app_context():
        return schedule.wake_due(now.board)


def tidy() -> int:
    """Delete what is kept for a while only; returns how many rows."""
    with runtime().app.app_context():
        return schedule.tidy()


@contextmanager
def lease(board: Board, slice_id: str, lease_s: float) -> Iterator[None]:
    """Keep a slice's lease alive from a thread while the block runs."""
    done = Event()

    def keep() -> None:
        while True:
            with _redis_may_be_away("renew the lease"):
                board.renew(slice_id, lease_s)
            if done.wait(lease_s / 3):
                return

    thread = Thread(target=keep, name=f"lease-{slice_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimitExceeded in the block when it takes longer. For the main thread only."""

    def expire(*_: object) -> None:
        raise TimeLimitExceeded(f"took longer than its limit of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def perform(job: StartedJob, settings: Settings) -> Outcome:
    """Run one started job's task, and say how it ended. Whatever the task raises is an outcome."""
    started_at, clock = utcnow(), time.perf_counter()
    status, result, error = Status.COMPLETED, None, None
    try:
        task = tasks.find(job.task)
        with time_limit(task.timeout_s or _default_limit(job, settings)):
            result = task(job.payload, tasks.Run(job.id, job.attempt, job.site, job.user, job.execution_time))
        result = _recordable(result)
    except (Exception, SystemExit, TimeLimitExceeded) as raised:
        status, result, error = Status.FAILED, None, _describe(raised)
    finished_at = utcnow()
    run_at = _retry_at(job, finished_at) if status is Status.FAILED else None
    return Outcome(
        job.id, job.attempt, Status.SCHEDULED if run_at else status, started_at, finished_at,
        time.perf_counter() - clock, result, error, run_at,
    )


def _start(slice_: Slice) -> list[StartedJob]:
    with writing() as session:
        return ledger.start(session, slice_)


def _run_all(started: Sequence[StartedJob], settings: Settings) -> tuple[float, list[datetime]]:
    """Run jobs in turn, recording outcomes as they come in; returns the seconds used, and when to retry."""
    used_s, recorded_at = 0.0, time.monotonic()
    waiting: list[Outcome] = []
    retries: list[datetime] = []
    for job in started:
        outcome = perform(job, settings)
        used_s += outcome.run_time
        waiting.append(outcome)
        if outcome.run_at:
            retries.append(outcome.run_at)
        if time.monotonic() - recorded_at >= RECORD_EVERY_S:
            record(waiting)
            waiting, recorded_at = [], time.monotonic()
    record(waiting)
    return used_s, retries


def record(outcomes: Sequence[Outcome]) -> int:
    """The finish fence, with patience for a database that is away; returns how many came too late."""

    def finish() -> int:
        with writing() as session:
            return ledger.finish(session, outcomes)

    late = len(outcomes) - patiently(finish)
    if late:
        log.warning("%d of %d outcomes came too late: the jobs were given back meanwhile", late, len(outcomes))
    return late


def _default_limit(job: StartedJob, settings: Settings) -> float:
    bound_s = next((band.bound_s for band in settings.bands if band.name == job.band), job.execution_time)
    return max(LEAST_LIMIT_S, LIMIT_FACTOR * bound_s)


def _retry_at(job: StartedJob, now: datetime) -> datetime | None:
    try:
        delay = tasks.find(job.task).delay_before_retry(job.attempt)
    except tasks.UnknownTask:
        return None
    return None if delay is None else now + timedelta(seconds=delay)


def _recordable(result: Any) -> Any:
    """The result as JSON would give it back. Raises BadResult."""
    try:
        text = json.dumps(result, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadResult(f"a task must return what JSON can hold: {error}") from None
    if len(text) > tasks.RESULT_BYTES:
        raise BadResult(f"a task must return at most {tasks.RESULT_BYTES} bytes of JSON; got {len(text)}")
    return json.loads(text)


def _describe(raised: BaseException) -> str:
    if isinstance(raised, TimeLimitExceeded | JobschedError):
        return str(raised)
    text = "".join(traceback.format_exception(raised))
    return text[-ERROR_LENGTH:].replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


@contextmanager
def _redis_may_be_away(what: str) -> Iterator[None]:
    """What Redis misses, an expired lease and the sweep make good."""
    try:
        yield
    except (RedisError, BoardLost) as error:
        log.warning("could not %s: %s", what, error)
