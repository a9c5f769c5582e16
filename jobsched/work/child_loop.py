"""The loop of a task process: runs the given jobs in turn, while each finds a clean process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import monotonic

from jobsched.base import processes
from jobsched.config import Settings
from jobsched.ledger.moves import StartedJob
from jobsched.work import forks
from jobsched.work.isolation import seeds
from jobsched.work.isolation.surroundings import Surroundings
from jobsched.work.limits import LeaseLost, Limits
from jobsched.work.notes import Notes
from jobsched.work.one_start import OneStart


def perform_all(jobs: Sequence[StartedJob], settings: Settings, notes: Notes) -> None:
    """Run jobs and note how each ended, until one has left what its neighbours must not meet, or the slice is lost."""
    limits, ours = Limits(notes), os.getpid()
    seeds.reseed()
    surroundings = Surroundings()  # with our handlers of signals
    for job in jobs:
        if os.getpid() != ours:  # what a task left has forked, and come back where we did not look
            forks.exit_now(0)
        notes.begin(monotonic())
        try:
            surroundings.run(OneStart(job, limits, notes, settings).perform)
        except LeaseLost:
            return
        if not _put_back(surroundings) or notes.full:
            return
        notes.leave()


def _put_back(surroundings: Surroundings) -> bool:
    """Undo what a job has left; whether the next one may run in this process. Else it runs in a new one."""
    as_before = surroundings.put_back()
    return not processes.end_children() and as_before
