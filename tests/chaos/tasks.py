"""The tasks of the load. Each writes what it does to a file outside the system, which the verdict reads."""

from __future__ import annotations

import os
import time
from typing import Any

from jobsched import Run, task

#: Names the file that the lines go to.
NOTES = "CHAOS_NOTES"


class Wanted(Exception):
    """What a task raises because its payload says so."""


@task
def chaos(payload: dict[str, Any], run: Run) -> dict[str, Any]:
    """Work for the payload's ``seconds``; raise when it says so."""
    return work(payload, str(run.job), run.attempt)


@task(retries=2, backoff_s=0.5)
def chaos_retried(payload: dict[str, Any], run: Run) -> dict[str, Any]:
    """The same, with retries of its own."""
    return work(payload, str(run.job), run.attempt)


def work(payload: dict[str, Any], job: str, attempt: int) -> dict[str, Any]:
    """Note the start, sleep, note the end. ``fail_until`` is the last attempt that raises."""
    note("start", job, attempt)
    time.sleep(payload["seconds"])
    if attempt <= payload["fail_until"]:
        note("raise", job, attempt)
        raise Wanted(f"attempt {attempt} of {job}")
    note("end", job, attempt)
    return {"attempt": attempt}


def note(event: str, job: str, attempt: int) -> None:
    """Append one line: event, job, attempt, process, time. Lines of several processes never mix."""
    line = f"{event} {job} {attempt} {os.getpid()} {time.time():.6f}\n"
    file = os.open(os.environ[NOTES], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
