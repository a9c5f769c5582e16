"""Runs the tasks of a slice from the worker: in another process, which may end at any moment."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial

from jobsched.base.failpoints import failpoint
from jobsched.config import Settings
from jobsched.domain import Fence, JobschedError
from jobsched.ledger import moves
from jobsched.ledger.database import patiently, writing
from jobsched.ledger.models import utcnow
from jobsched.ledger.moves import Outcome, StartedJob
from jobsched.work import deaths, outcomes
from jobsched.work.child_loop import perform_all
from jobsched.work.deaths import Death
from jobsched.work.limits import BETWEEN_S
from jobsched.work.notes import Notes
from jobsched.work.notes_reader import Reader
from jobsched.work.recording import record
from jobsched.work.task_process import TaskProcess

log = logging.getLogger(__name__)

#: Outcomes are recorded together, but none waits longer than this for its neighbours, in seconds.
RECORD_EVERY_S = 0.1
#: A slice is given up when so many forks in a row fail, or so many processes end before a job of it has begun.
MOST_IDLE = 3
#: The pause before a fork is tried again, in seconds.
FORK_AGAIN_S = 1.0


class TaskProcessFailed(JobschedError):
    """No process can be had in which a slice's tasks could run."""


class RunningTasks:
    """Has started jobs run, and records how they end as they do.

    ``ended`` are the outcomes that were recorded, ``cut_off`` the ids of jobs whose process ended in the middle of them
    and that were given back, ``used_s`` what all of them took, in seconds.
    """

    def __init__(self, jobs: Sequence[StartedJob], settings: Settings) -> None:
        self.ended: list[Outcome] = []
        self.cut_off: list[int] = []
        self.used_s = 0.0
        self._jobs, self._settings = jobs, settings
        self._process: TaskProcess | None = None

    def run(self, lost: Callable[[], bool]) -> None:
        """Run the jobs in a process, or in several, one after the other, until all have ended or the slice is ``lost``.

        Raises TaskProcessFailed.
        """
        idle = 0
        while (rest := self._jobs[self._done :]) and not lost():
            done = self._done
            self._run_some(rest, lost)
            idle = 0 if self._done > done or lost() else idle + 1
            if idle == MOST_IDLE:
                raise TaskProcessFailed(f"{idle} processes in a row have ended before job {rest[0].id} began")

    def watch(self, lost: bool) -> None:
        """Stop what has to be stopped. From any thread."""
        process = self._process
        if process is not None:
            process.watch(lost=lost)

    @property
    def _done(self) -> int:
        return len(self.ended) + len(self.cut_off)

    def _run_some(self, jobs: Sequence[StartedJob], lost: Callable[[], bool]) -> None:
        """Run jobs in one process until that ends."""
        settings, notes = self._settings, Notes(time.monotonic() + BETWEEN_S)
        longest_s = BETWEEN_S + max(outcomes.limit_s(job, settings) for job in jobs)
        reader = Reader(notes, jobs, longest_s)
        process = self._process = _forked(
            lambda: perform_all(jobs, settings, notes), reader.is_late, notes.lose)
        try:
            while not process.wait(RECORD_EVERY_S) and reader.bad is None:
                self._record(reader.new())
        finally:
            process.end()
            self._process = None  # and its notes go with it, whoever still holds us
        self._record(reader.new(ended=True))
        if process.status == 0 and not reader.has_begun:
            reader.bad = "it began none of its jobs, or wrote over that"
        if not lost():
            self._record_cut_off(reader, process)

    def _record(self, ended: Sequence[Outcome]) -> None:
        for _ in ended:
            failpoint("run.performed", effect="sql")
        if ended:
            record(ended)
        self.ended += ended
        self.used_s += sum(outcome.run_time for outcome in ended)

    def _record_cut_off(self, reader: Reader, process: TaskProcess) -> None:
        """The process ended in the middle of a job: that one is to blame, and no other.

        Unless its notes are bad: nobody knows then how those have ended that it has begun, so that none goes on.
        """
        now = time.monotonic()
        seconds = now - reader.begun_at(now)
        for job in reader.cut_off():
            place = deaths.place(self._done + 1, len(self._jobs))
            if reader.bad is None:
                killed = process.killed and process.status == -signal.SIGKILL
                death = Death(seconds, killed, deaths.described(process.status or 0, place))
                outcome = deaths.outcome(job, death, reader.remains(), utcnow())
            else:
                death = Death(seconds, False, f"a task wrote over what its process notes ({reader.bad}), {place}")
                outcome = None
            if outcome is not None:
                self._record([outcome])
            else:
                self._give_back(job, death)

    def _give_back(self, job: StartedJob, death: Death) -> None:
        log.warning("job %d: %s", job.id, death.description)
        patiently(partial(_give_back, job, death.description))
        self.used_s += death.seconds
        self.cut_off.append(job.id)


def _forked(
    life: Callable[[], None], is_late: Callable[[float], bool], note_lost: Callable[[], None]
) -> TaskProcess:
    """A task process, also where the machine has no room for one just now. Raises TaskProcessFailed."""
    failed = 0
    while True:
        try:
            return TaskProcess(life, is_late, note_lost)
        except OSError as error:
            failed += 1
            if failed == MOST_IDLE:
                raise TaskProcessFailed(f"{failed} forks in a row have failed: {error}") from error
            log.warning("could not fork for a task: %s", error)
        time.sleep(FORK_AGAIN_S)


def _give_back(job: StartedJob, why: str) -> None:
    """Its process ended in the middle of a start: that attempt is spent."""
    with writing() as session:
        moves.give_back(session, [Fence(job.id, job.attempt)], why)
    failpoint("run.broken_off", effect="sql")
