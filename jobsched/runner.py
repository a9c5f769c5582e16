"""What RQ's workers call. A slice: start fence, run each job, finish fence, settle."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from flask import Flask
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from jobsched import ledger, schedule, tasks
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.connections import connect
from jobsched.database import ledger_app, patiently, reading, writing
from jobsched.domain import BoardLost, Fence, Slice, Status
from jobsched.failpoints import failpoint
from jobsched.host import output
from jobsched.host.settings import load_with_tasks
from jobsched.lease import Lease, LeaseLost
from jobsched.ledger import Outcome, StartedJob
from jobsched.models import utcnow
from jobsched.queues import aside
from jobsched.work.recording import record
from jobsched.work.start import OneStart

log = logging.getLogger(__name__)

#: Outcomes are recorded together, but none waits longer than this for its neighbours, in seconds.
RECORD_EVERY_S = 0.1


@dataclass(frozen=True)
class Runtime:
    """What a worker process needs; made once, before it forks."""

    settings: Settings
    app: Flask
    board: Board


@lru_cache(maxsize=1)
def runtime() -> Runtime:
    """The process's runtime, from its environment; imports the task modules. Raises ConfigError."""
    settings = load_with_tasks()
    output.by_lines()
    return Runtime(settings, ledger_app(settings), Board(connect(settings.redis_url)))


def warm_up() -> None:
    """Do once, before a fork, what each child would do anew for its slice: set up mappers, compile the statements."""
    nobody = Slice("", 0, "", 0, 0.0, (Fence(0, 0),))
    then = utcnow()
    try:
        with runtime().app.app_context(), writing() as session:
            ledger.start(session, nobody, tasks.names())
            ledger.finish(session, [Outcome(0, 0, Status.COMPLETED, then, then, 0.0)])
    except SQLAlchemyError as error:  # the workers are patient where we need not be
        log.warning("no warm start: %s", error)


def run_slice(
    slice_id: str, site: int, band: str, points: int, dispatched_at: float, jobs: Sequence[Sequence[int]]
) -> None:
    """Run the jobs of one slice that are still ours to run, and record how each ended."""
    now = runtime()
    slice_ = Slice(slice_id, site, band, points, dispatched_at, tuple(Fence(job, attempt) for job, attempt in jobs))
    try:
        with now.app.app_context():
            if _is_in_flight(now.board, slice_id):
                SliceRun(now, slice_).run()
    finally:
        output.flush()  # RQ ends this process without doing it


def _is_in_flight(board: Board, slice_id: str) -> bool:
    """Whether the board knows a slice: one that somebody has put into a queue again may be of a site that is paused."""
    try:
        if board.holds(slice_id):
            return True
        board.rules()
        aside.counted(board.redis, "slice that is not in flight", slice_id)
    except (RedisError, BoardLost):  # nothing is known; it was sealed, and the fences hold without Redis
        return True
    return False


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
        self._current: OneStart | None = None
        self._waiting: list[Outcome] = []
        self._lease = Lease(self._renew, now.settings.lease_s / 3, self._record_killed)

    def run(self) -> None:
        """Start fence, the tasks, finish fence, settle; without the last when the slice was taken from us."""
        failpoint("run.popped")
        with self._lease:
            self._started, unknown = patiently(self._start)
            self._set_aside(unknown)
            ended = self._run_all()
            if self._lease.lost:
                log.warning("slice %s was taken back while it ran", self._slice.id)
                return
            with _others_may_be_away("settle"):
                failpoint("run.recorded", effect="sql")
                self._now.board.settle(self._slice.id, sum(outcome.run_time for outcome in ended))
                failpoint("run.settled")
                self._place([outcome.job for outcome in ended if outcome.band])
                schedule.wake_at(self._now.board.redis, [outcome.run_at for outcome in ended if outcome.run_at])
                failpoint("run.retries_asked")

    def _start(self) -> tuple[list[StartedJob], dict[int, str]]:
        """The jobs that are ours to run now, and those of tasks that this worker does not know, with these."""
        known, unknown = tasks.names(), {}
        with writing() as session:
            started = ledger.start(session, self._slice, known)
            if len(started) < len(self._slice.jobs):
                unknown = ledger.unknown(session, self._slice, known)
        failpoint("run.started", effect="sql")
        return started, unknown

    def _set_aside(self, unknown: Mapping[int, str]) -> None:
        """Give back jobs of tasks that this worker does not know, as they are, for workers that do."""
        if not unknown:
            return
        log.warning("%d jobs set aside: this worker knows no task %s", len(unknown),
                    ", ".join(map(repr, sorted(set(unknown.values())))))
        with _others_may_be_away("set jobs aside"):
            self._now.board.set_aside(self._slice.id, unknown)
            failpoint("run.set_aside")

    def _run_all(self) -> list[Outcome]:
        """Run the jobs in turn, and record how they ended as they do."""
        ended: list[Outcome] = []
        recorded_at = time.monotonic()
        for job in self._started:
            try:
                outcome = self._perform(job)
            except LeaseLost:
                break
            failpoint("run.performed", effect="sql")
            ended.append(outcome)
            if time.monotonic() - recorded_at >= RECORD_EVERY_S:
                self._record_waiting()
                recorded_at = time.monotonic()
        self._record_waiting()
        return ended

    def _perform(self, job: StartedJob) -> Outcome:
        """Run one started job's task, and say how it ended. Raises LeaseLost."""
        self._current = OneStart(job, self._lease, self._now.settings)
        try:
            outcome = self._current.perform()
            self._waiting.append(outcome)
            return outcome
        finally:
            self._current = None

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
        killed = [self._current.if_killed()] if self._current else []
        with self._now.app.app_context():
            record([*self._waiting, *killed])

    def _place(self, demoted: Sequence[int]) -> None:
        """Put jobs that have overrun into their new lanes; others may have moved them on, so SQL is asked."""
        if not demoted:
            return
        with reading() as session:
            waiting = ledger.still_pending(session, demoted)
        self._now.board.place(waiting)
        failpoint("run.demoted_placed")


@contextmanager
def _others_may_be_away(what: str) -> Iterator[None]:
    """What the board misses, an expired lease and the sweep make good."""
    try:
        yield
    except (RedisError, BoardLost, SQLAlchemyError) as error:
        log.warning("could not %s: %s", what, error)
