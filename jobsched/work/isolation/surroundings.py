"""Records the state of a process before its first job, and restores it after each job."""

from __future__ import annotations

import contextvars
import decimal
import gc
import logging
from collections.abc import Callable
from typing import Any

from jobsched.work.isolation import interpreter, kernel, seeds
from jobsched.work.isolation.loggers import loggers

log = logging.getLogger(__name__)


class Surroundings:
    """The state of this process as it is when this is made: before the first job, when nothing of a task's has run."""

    def __init__(self) -> None:
        gc.freeze()  # what was the worker's to collect is not ours: to end it here would close what is open
        self._decimals = decimal.getcontext().copy()
        # First what goes back even where a new process follows; last what is right again only after the rest is.
        self._things = [*kernel.things(), *interpreter.settings(), loggers(), *interpreter.names()]
        self._gets = [thing.get for thing in self._things]
        self._kept = self._now()

    def run(self, job: Callable[[], object]) -> None:
        """Run a job in a context of its own: what it sets of context variables, and of decimals, ends with it."""
        context = contextvars.copy_context()
        context.run(decimal.setcontext, self._decimals.copy())
        context.run(job)

    def put_back(self) -> bool:
        """Undo what a job has left behind. Returns whether all is as it was; else a new process has to do the next."""
        try:
            seeds.mix()
            return self._now() == self._kept or self._undo()
        except BaseException:  # what a job left is code as well: an object that is compared, a signal's handler
            return False

    def _now(self) -> list[Any]:
        return [get() for get in self._gets]

    def _undo(self) -> bool:
        left = []
        for thing, kept in zip(self._things, self._kept, strict=True):
            if thing.get() != kept:
                left.append(thing.name)
                if thing.put_back is not None:
                    thing.put_back(kept)
        as_before = self._now() == self._kept
        log.debug("a job left %s: %s", ", ".join(left), "put back" if as_before else "a new process follows")
        return as_before
