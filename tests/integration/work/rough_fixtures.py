"""Fixtures for modules whose tests run rough tasks, with a runner in the test's own process."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobsched.intake.drafts import JobDraft
from tests.engine import draft

TASKS = "tests.engine_tasks,tests.rough_tasks"

@pytest.fixture
def variables() -> dict[str, str]:
    """What the environment sets for the runner."""
    return {"JOBSCHED_TASKS": TASKS, "JOBSCHED_OVERRUN_GRACE": "1500"}  # to fork may take its time


def tallied(tmp_path: Path) -> JobDraft:
    return draft("tally", book=str(tmp_path / "book"))
