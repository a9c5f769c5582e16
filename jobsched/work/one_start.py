"""One start of one job: runs its task and reads its outcome, each under a time limit.

What a task leaves behind runs code as well: the error that it raised, its result, and the objects that it drops. All of
it runs before the next task's turn, and in bounded time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter
from typing import Any

from jobsched import tasks
from jobsched.config import Settings
from jobsched.ledger.models import utcnow
from jobsched.ledger.moves import Outcome, StartedJob
from jobsched.work import errors, forks, outcome_json, outcomes, results
from jobsched.work.limits import AFTERMATH_S, LeaseLost, Limits
from jobsched.work.notes import Notes
from jobsched.work.outcomes import Start


class OneStart:
    """A start that is made once, by :meth:`perform`, in a process that has ``limits``, and that takes ``notes``."""

    def __init__(self, job: StartedJob, limits: Limits, notes: Notes, settings: Settings) -> None:
        self._job, self._limits, self._notes, self._settings = job, limits, notes, settings
        self._run = tasks.Run(job.id, job.attempt, job.site, job.user, job.execution_time)
        self._started_at, self._began = utcnow(), perf_counter()
        self._has_returned = False
        self._outcome: Outcome | None = None
        self._bare = ""
        # What the task left, and nothing else holds: it has to go while there are limits.
        self._raised: list[BaseException] = []
        self._returned: list[Any] = []

    def perform(self) -> None:
        """Run the task, and note how it ended. Whatever it raises is an outcome. Raises LeaseLost."""
        limit_s = self._run_task()
        ended = self._end()
        self._notes.remain(outcome_json.pack(self._remains(ended)))
        if self._has_returned:
            self._look_back(lambda: self._take_result(ended), max(AFTERMATH_S, limit_s - ended.run_time))
        if self._outcome is None:
            self._look_back(lambda: self._take_error(ended), AFTERMATH_S)
        if self._outcome is None:
            self._outcome = outcomes.failed(ended, self._bare)
        self._notes.note(outcome_json.pack(self._outcome))
        self._look_back(self._let_go, AFTERMATH_S)

    def _remains(self, ended: Start) -> outcome_json.Remains:
        return outcome_json.Remains(ended.started_at, ended.finished_at, ended.run_time, ended.may_repeat,
                               self._has_returned, self._bare)

    def _run_task(self) -> float:
        """Run the task within its limit, which is returned, in seconds; 0 where there is no such task."""
        job, settings, limit_s = self._job, self._settings, 0.0
        try:
            task = tasks.find(job.task)
            limit_s = outcomes.limit_s(job, settings)
            with self._limits.task(limit_s, outcomes.overrun_s(job, settings)):
                self._call(task)
        except LeaseLost:
            raise
        except BaseException as raised:  # there is no such task, or it was stopped on its way out
            self._keep(raised)
        return limit_s

    def _call(self, task: tasks.Task) -> None:
        try:
            self._returned.append(forks.call(task, self._job.payload, self._run))
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
            with self._limits.aftermath(seconds):
                forks.call(work)
        except BaseException as raised:
            self._keep(raised)

    def _take_result(self, ended: Start) -> None:
        self._outcome = outcomes.of_result(ended, results.recordable(self._returned[0]))

    def _take_error(self, ended: Start) -> None:
        raised = self._raised[-1]
        description = errors.describe(raised, self._limits.stops)
        if not self._has_returned:
            self._outcome = outcomes.of_error(ended, description.text, self._settings, overran=description.overran)
        elif isinstance(raised, results.BadResult):
            self._outcome = outcomes.failed(ended, description.text)
        else:
            self._outcome = outcomes.failed(ended, f"what it returned can not be read: {description.text}")

    def _let_go(self) -> None:
        for held in (self._raised, self._returned, self._limits.stops):
            held.clear()

    def _end(self) -> Start:
        seconds = perf_counter() - self._began  # a task may have put something else in the clock's place
        measured = seconds if math.isfinite(seconds) and seconds > 0 else 0.0
        return Start(self._job, self._started_at, utcnow(), measured, self._run.may_repeat)
