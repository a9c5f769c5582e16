"""Measures the cost of isolating a job from the next one, beside the cost of an empty job, in one run.

``python -m benchmarks.isolation`` prints microseconds, each the least of many, and their ratio.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from time import monotonic

import jobsched.work.runner  # noqa: F401 (as much is loaded as in a worker)
from jobsched import tasks
from jobsched.config import load
from jobsched.ledger.moves import StartedJob
from jobsched.work.isolation.surroundings import Surroundings
from jobsched.work.limits import Limits
from jobsched.work.notes import Notes
from jobsched.work.one_start import OneStart

ROUNDS, TIMES = 400, 10


def main() -> None:
    """Measure in this process, which has loaded the same modules as a worker."""
    tasks.task(name="nothing")(lambda payload: None)
    settings = load({"SECRET_KEY": "none", "JOBSCHED_HOME": "/nowhere"})
    notes = Notes(monotonic() + 3600)
    limits, job = Limits(notes), StartedJob(1, 1, 3, 1, 1, "nothing", {}, 0.001, "task_01")

    def perform() -> None:
        notes.head.end = 64 * 1024  # room for each
        OneStart(job, limits, notes, settings).perform()

    surroundings = Surroundings()
    assert surroundings.put_back()
    alone = microseconds(perform)
    context = microseconds(lambda: surroundings.run(int))
    back = microseconds(surroundings.put_back)
    print(f"a job that does nothing {alone:.0f} us, its context {context:.1f} us, "
          f"to see that all is as it was {back:.0f} us: {(context + back) / alone:.0%} on top")
    once = min(timeit.repeat(Surroundings, number=1, repeat=20)) * 1e6
    print(f"once a process, to look at all: {once:.0f} us")


def microseconds(work: Callable[[], object]) -> float:
    """The least time that a call has taken."""
    return min(timeit.repeat(work, number=TIMES, repeat=ROUNDS)) / TIMES * 1e6


if __name__ == "__main__":
    main()
