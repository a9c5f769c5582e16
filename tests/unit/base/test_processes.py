"""Processes of the operating system."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jobsched.base.processes import on_one_cpu


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process say where it runs")
def test_who_talks_in_turns_stays_on_one_cpu_and_may_go_anywhere_after() -> None:
    before = os.sched_getaffinity(0)
    with on_one_cpu():
        ours = os.sched_getaffinity(0)
        asks = [sys.executable, "-c", "import os; print(*os.sched_getaffinity(0))"]
        child = subprocess.run(asks, capture_output=True, text=True, check=True)
    assert len(ours) == 1
    assert ours <= before
    assert child.stdout.split() == [str(cpu) for cpu in ours]
    assert os.sched_getaffinity(0) == before
