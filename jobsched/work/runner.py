"""The functions that RQ's workers call. For a slice: start fence, run each job, finish fence, settle."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from flask import Flask
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from jobsched import tasks
from jobsched.base import aside, bugs, output
from jobsched.base.connections import connect
from jobsched.base.failpoints import failpoint
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.domain import BoardLost, Fence, Slice, Status
from jobsched.ledger import moves
from jobsched.ledger.database import ledger_app, patiently, reading, writing
from jobsched.ledger.models import utcnow
from jobsched.ledger.moves import Outcome, StartedJob
from jobsched.ledger.pruning import prune_idempotency_keys
from jobsched.queues import due, scheduler
from jobsched.work.isolation import seeds
from jobsched.work.lease import Lease
from jobsched.work.loading import load_for_tasks
from jobsched.work.parent_loop import RunningTasks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runtime:
    """What a worker process holds for all its slices; made once, before it forks."""

    settings: Settings
    app: Flask
    redis: Redis
    board: Board


@lru_cache(maxsize=1)
def runtime() -> Runtime:
    """The process's runtime, from its environment, which loses its secrets; imports the task modules.

    Raises ConfigError.
    """
    settings = load_for_tasks()
    output.by_lines()
    seeds.find(tuple(tasks.names()))
    redis = connect(settings.redis_url)
    return Runtime(settings, ledger_app(settings), redis, Board(redis))


def warm_up() -> None:
    """Set up the mappers and compile the statements, for which the first slice would wait."""
    nobody, moment = Slice("", 0, "", 0, 0.0, (Fence(0, 0),)), utcnow()
    try:
        with runtime().app.app_context(), writing() as session:
            moves.start(session, nobody, tasks.names())
            moves.finish(session, [Outcome(0, 0, Status.COMPLETED, moment, moment, 0.0)])
    except SQLAlchemyError as error:  # the slices wait for a database that is away; this need not
        log.warning("no warm start: %s", bugs.one_line(error))


def run_slice(
    slice_id: str, site: int, band: str, points: int, dispatched_at: float, jobs: Sequence[Sequence[int]]
) -> None:
    """Run those jobs of a slice that still belong to it, and record how each ended."""
    process = runtime()
    slice_ = Slice(slice_id, site, band, points, dispatched_at, tuple(Fence(job, attempt) for job, attempt in jobs))
    with process.app.app_context():
        if _is_in_flight(process, slice_id):
            SliceRun(process, slice_).run()


def _is_in_flight(process: Runtime, slice_id: str) -> bool:
    """Whether the board knows the slice. Otherwise somebody put it into a queue again, and its site may be paused."""
    try:
        if process.board.holds(slice_id):
            return True
        process.board.rules.read()
        aside.counted(process.redis, "slice that is not in flight", slice_id)
    except (RedisError, BoardLost):  # the board can not say; the slice is sealed, and the fences hold without Redis
        return True
    return False


def wake() -> int:
    """Place the scheduled jobs that are due; returns how many."""
    process = runtime()
    with process.app.app_context():
        return due.wake_due(process.board)


def prune() -> int:
    """Delete the rows that are kept for a limited time only; returns how many."""
    with runtime().app.app_context():
        return prune_idempotency_keys()


class SliceRun:
    """One slice in the hands of this worker."""

    def __init__(self, process: Runtime, slice_: Slice) -> None:
        self._process = process
        self._slice = slice_
        self._started: list[StartedJob] = []
        self._tasks = RunningTasks([], process.settings)  # the lease watches it before the jobs have started
        self._lease = Lease(self._renew, process.settings.lease_s / 3, self._watch)

    def run(self) -> None:
        """Start fence, the tasks, finish fence, settle. A slice whose lease was lost is not settled."""
        failpoint("run.popped")
        with self._lease:
            self._started, unknown = patiently(self._start)
            self._set_aside(unknown)
            self._tasks = RunningTasks(self._started, self._process.settings)
            self._tasks.run(lambda: self._lease.lost)
            if self._lease.lost:
                log.warning("slice %s was taken back while it ran", self._slice.id)
                return
            with _others_may_be_away("settle"):
                failpoint("run.recorded", effect="sql")
                self._process.board.settle(self._slice.id, self._tasks.used_s)
                failpoint("run.settled")
                self._place([*(outcome.job for outcome in self._tasks.ended if outcome.band), *self._tasks.cut_off])
                retries = [outcome.run_at for outcome in self._tasks.ended if outcome.run_at]
                scheduler.wake_at(self._process.redis, retries)
                failpoint("run.retries_asked")

    def _start(self) -> tuple[list[StartedJob], dict[int, str]]:
        """The jobs that this worker has started; and, with the names of their tasks, those whose tasks it lacks."""
        known, unknown = tasks.names(), {}
        with writing() as session:
            started = moves.start(session, self._slice, known)
            if len(started) < len(self._slice.jobs):
                unknown = moves.unknown(session, self._slice, known)
        failpoint("run.started", effect="sql")
        return started, unknown

    def _set_aside(self, unknown: Mapping[int, str]) -> None:
        """Give back the jobs whose tasks this worker lacks, as they are, for workers that have them."""
        if not unknown:
            return
        log.warning("%d jobs set aside: this worker knows no task %s", len(unknown),
                    ", ".join(map(repr, sorted(set(unknown.values())))))
        with _others_may_be_away("set jobs aside"):
            self._process.board.set_aside(self._slice.id, unknown)
            failpoint("run.set_aside")

    def _watch(self, lost: bool) -> None:
        self._tasks.watch(lost)

    def _renew(self) -> bool:
        """Extend the lease. Where the board has forgotten the slice but its jobs still run in SQL, put it back."""
        board, lease_s = self._process.board, self._process.settings.lease_s
        known = board.renew(self._slice.id, lease_s)
        failpoint("run.renewed")
        if known or not self._started:
            return True
        with self._process.app.app_context(), reading() as session:
            still_running = moves.running_in(session, self._slice.id, [job.id for job in self._started])
        if not still_running:
            return False
        board.adopt(self._slice, self._started, lease_s)
        failpoint("run.adopted")
        return True

    def _place(self, jobs: Sequence[int]) -> None:
        """Put jobs that wait again into their lanes. SQL is asked which still do: others may have moved them on."""
        if not jobs:
            return
        with reading() as session:
            waiting = moves.still_pending(session, jobs)
        self._process.board.place(waiting)
        failpoint("run.demoted_placed")


@contextmanager
def _others_may_be_away(what: str) -> Iterator[None]:
    """Go on when Redis or the database is away: an expired lease and the sweep make good what the board misses."""
    try:
        yield
    except (RedisError, BoardLost, SQLAlchemyError) as error:
        log.warning("could not %s: %s", what, bugs.one_line(error))
