"""Tasks of the failpoint tests. Each start writes a line to a file outside the system."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from jobsched import Run, task

BOOK = "FAILPOINTS_BOOK"


def _note(run: Run) -> None:
    with Path(os.environ[BOOK]).open("a") as book:
        book.write(f"{run.job} {run.attempt}\n")


@task
def noted(payload: dict[str, Any], run: Run) -> str:
    """Leave the line, and return the start's key."""
    _note(run)
    return run.key


@task
def refused(payload: dict[str, Any], run: Run) -> None:
    """Leave the line, and raise."""
    _note(run)
    raise RuntimeError("refused")


@task(retries=1, backoff_s=0.01)
def refused_once(payload: dict[str, Any], run: Run) -> str:
    """Raise at the first start."""
    _note(run)
    if run.attempt == 1:
        raise RuntimeError("refused once")
    return run.key


@task
def outlasting(payload: dict[str, Any], run: Run) -> str:
    """Outlast the lane at the first start."""
    _note(run)
    while run.attempt == 1:
        time.sleep(0.005)
    return run.key


@task
def held(payload: dict[str, Any], run: Run) -> str:
    """Run until the file ``until`` is there."""
    _note(run)
    Path(payload["here"]).touch()
    while not Path(payload["until"]).exists():
        time.sleep(0.005)
    return run.key


@task
def newer(payload: dict[str, Any], run: Run) -> str:
    """Leave the line, as ``noted`` does; not every worker knows it."""
    return noted(payload, run)  # type: ignore[no-any-return]


@task
def killed(payload: dict[str, Any], run: Run) -> str:
    """Kill the process at the first start."""
    _note(run)
    if run.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return run.key
