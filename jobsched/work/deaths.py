"""What the exit of a task process means for the job that it ran, and the error that is recorded."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobsched.ledger.moves import Outcome, StartedJob
from jobsched.work import outcomes
from jobsched.work.limits import HARD_GRACE_S
from jobsched.work.outcome_json import Remains
from jobsched.work.outcomes import Start


@dataclass(frozen=True)
class Death:
    """A process has ended in the middle of a start, ``seconds`` after that began.

    ``killed``: by the worker, because a limit was over. ``description`` says how it ended otherwise.
    """

    seconds: float
    killed: bool
    description: str


def outcome(job: StartedJob, death: Death, remains: Remains | None, ended_at: datetime) -> Outcome | None:
    """What is recorded of a start in which its process ended; None: nothing, it has no end, and its attempt is spent.

    ``remains`` is what the process noted of it, when its task had come to its end. Work that was done, and whose result
    is lost, is not done again.
    """
    if remains is None:
        start = Start(job, ended_at - timedelta(seconds=death.seconds), ended_at, death.seconds)
        error = f"did not stop within {HARD_GRACE_S:g} s of its limit, and was killed"
        return outcomes.of_failure(start, error) if death.killed else None
    start = Start(job, remains.started_at, remains.finished_at, remains.run_time, remains.may_repeat)
    if remains.returned:
        endless, unread = "had no end, and its process was killed", f"can not be read: {death.description}"
        return outcomes.failed(start, f"what it returned {endless if death.killed else unread}")
    return outcomes.of_failure(start, remains.bare if death.killed else f"{remains.bare}\n{death.description}")


def described(status: int, place: str) -> str:
    """A sentence for a process that ended in a task at ``place``; a negative ``status`` is the number of a signal."""
    if status >= 0:
        return f"its task ended its process with exit status {status}, {place}"
    return f"its process was killed by {_named(-status)}, {place}{_hint(-status)}"


def place(job: int, jobs: int) -> str:
    """Where a slice was, for a sentence: at its job number ``job`` (from 1) of ``jobs``."""
    return f"at job {job} of the {jobs} of its slice"


def _hint(number: int) -> str:
    return ": by hand, or because memory ran out" if number == signal.SIGKILL else ""


def _named(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:  # a real-time signal between the first and the last has no name
        return f"signal {number}"
    described = signal.strsignal(number)
    return f"{name} (signal {number}, {described.lower()})" if described else f"{name} (signal {number})"
