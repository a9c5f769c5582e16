"""One start of one job: its task under its limits, and what is recorded of it, under limits as well.

What a task leaves behind is code, too: the error that it raised, what it returned, the objects that are let go of. All
of that runs before the next task's turn, and in bounded time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter
from typing import Any

from jobsched import outcomes, tasks
from jobsched.config import Settings
from jobsched.lease import AFTERMATH_S, HARD_GRACE_S, Lease, LeaseLost
from jobsched.ledger import Outcome, StartedJob
from jobsched.models import utcnow
from jobsched.outcomes import Start
from jobsched.work import errors, results


class OneStart:
    """A start that is made once, by :meth:`perform`, in a process that holds ``lease``."""

    def __init__(self, job: StartedJob, lease: Lease, settings: Settings) -> None:
        self._job, self._lease, self._settings = job, lease, settings
        self._run = tasks.Run(job.id, job.attempt, job.site, job.user, job.execution_time)
        self._started_at, self._clock = utcnow(), perf_counter()
        self._has_returned = False
        self._ended: Start | None = None
        self._outcome: Outcome | None = None
        self._bare = ""
        # What the task left, and nothing else holds: it has to go while there are limits.
        self._raised: list[BaseException] = []
        self._returned: list[Any] = []

    def perform(self) -> Outcome:
        """Run the task, and say how it ended. Whatever it raises is an outcome. Raises LeaseLost."""
        limit_s = self._run_task()
        ended = self._ended = self._end()
        if self._has_returned:
            self._look_back(lambda: self._take_result(ended), max(AFTERMATH_S, limit_s - ended.run_time))
        if self._outcome is None:
            self._look_back(lambda: self._take_error(ended), AFTERMATH_S)
        if self._outcome is None:
            self._outcome = outcomes.failed(ended, self._bare)
        self._look_back(self._let_go, AFTERMATH_S)
        return self._outcome

    def if_killed(self) -> Outcome:
        """What is recorded when the process is killed now. May be asked from another thread."""
        if self._outcome is not None:
            return self._outcome
        if self._ended is None:
            error = f"did not stop within {HARD_GRACE_S:g} s of its limit, and was killed"
            return outcomes.of_failure(self._end(), error)
        if self._has_returned:
            return outcomes.failed(self._ended, "what it returned had no end, and its process was killed")
        return outcomes.of_failure(self._ended, self._bare)

    def _run_task(self) -> float:
        """Run the task within its limit, which is returned, in seconds; 0 where there is no such task."""
        job, settings, limit_s = self._job, self._settings, 0.0
        try:
            task = tasks.find(job.task)
            limit_s = task.timeout_s or outcomes.default_limit_s(job, settings)
            with self._lease.task(limit_s, outcomes.overrun_s(job, settings)):
                self._call(task)
        except LeaseLost:
            raise
        except BaseException as raised:  # there is no such task, or it was stopped on its way out
            self._keep(raised)
        return limit_s

    def _call(self, task: tasks.Task) -> None:
        try:
            self._returned.append(task(self._job.payload, self._run))
            self._has_returned = True
        except LeaseLost:
            raise
        except BaseException as raised:  # here: until Python 3.12, to catch an error may run code of its type
            self._keep(raised)

    def _keep(self, raised: BaseException) -> None:
        """Keep an error; a neighbour's start has to be recorded, whatever it is."""
        self._bare = self._bare or errors.bare(raised)
        self._raised.append(raised)

    def _look_back(self, work: Callable[[], None], seconds: float) -> None:
        """Do something with what the task left, for a bounded time; what is raised meanwhile is its error, too."""
        try:
            with self._lease.aftermath(seconds):
                work()
        except BaseException as raised:
            self._keep(raised)

    def _take_result(self, ended: Start) -> None:
        self._outcome = outcomes.of_result(ended, results.recordable(self._returned[0]))

    def _take_error(self, ended: Start) -> None:
        raised = self._raised[-1]
        told = errors.tell(raised, self._lease.stops)
        if not self._has_returned:
            self._outcome = outcomes.of_error(ended, told.text, self._settings, overran=told.overran)
        elif isinstance(raised, results.BadResult):
            self._outcome = outcomes.failed(ended, told.text)
        else:
            self._outcome = outcomes.failed(ended, f"what it returned can not be read: {told.text}")

    def _let_go(self) -> None:
        for held in (self._raised, self._returned, self._lease.stops):
            held.clear()

    def _end(self) -> Start:
        seconds = perf_counter() - self._clock  # a task may have put something else in the clock's place
        measured = seconds if math.isfinite(seconds) and seconds > 0 else 0.0
        return Start(self._job, self._started_at, utcnow(), measured, self._run.may_repeat)
