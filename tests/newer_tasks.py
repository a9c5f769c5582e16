"""The tasks of a newer version of a user's code: those of older workers, and more (``JOBSCHED_TASKS``)."""

from __future__ import annotations

from typing import Any

from jobsched import Run, task
from tests.engine_tasks import tally


@task
def new_task(payload: dict[str, Any], run: Run) -> str:
    """Do as ``tally``."""
    tally(payload, run)
    return run.key
