"""Submit, take, start, finish, die, flush, repair, in any order: the guarantees hold for every job."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.failpoints import tasks  # noqa: F401 - registers them
from tests.model.clock import Clock, ticking
from tests.model.engine import LEASE_S
from tests.model.machine import Machine
from tests.promise.stage import Stage

#: On each of the two databases.
EXAMPLES = {"long": 500}.get(os.environ.get("HYPOTHESIS_PROFILE", ""), 100)


def test_whatever_happens_every_job_ends_once(stage: Stage, tmp_path: Path) -> None:
    ours = dataclasses.replace(stage, settings=dataclasses.replace(stage.settings, lease_s=LEASE_S))
    clock = Clock()
    with ticking(clock):
        run_state_machine_as_test(
            lambda: Machine(ours, clock, tmp_path),
            settings=settings(max_examples=EXAMPLES, stateful_step_count=50, deadline=None,
                              suppress_health_check=list(HealthCheck)),
        )
