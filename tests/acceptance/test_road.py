"""The whole stack from its Procfile: jobs go from the request to the record, also over a restart."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobsched.host import embedded
from tests.acceptance.up import BARE, ROOT, Stacks, Up
from tests.support import eventually

PORT = embedded.free_port()


@pytest.fixture
def stacks(tmp_path: Path) -> Iterator[Stacks]:
    for name in ("Procfile", "app.py", "worker.py", "gunicorn.conf.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    with Stacks(tmp_path) as stacks:
        yield stacks


def start(stacks: Stacks) -> Up:
    """A stack that is ready for work."""
    stack = stacks.start(PORT=str(PORT), JOBSCHED_WORKERS="2")
    eventually(lambda: _status("/readyz") == http.client.OK, 60.0)
    return stack


def call(method: str, path: str, body: object = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    try:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        answer = response.read()
        assert response.status < 300, answer
        return json.loads(answer)
    finally:
        connection.close()


def submit(seconds: list[float]) -> set[int]:
    """Jobs of a new user of a new site; their ids."""
    [site] = call("POST", "/sites", [{"name": "Acme"}])
    [user] = call("POST", "/user-records", [{"site": site["id"], "name": "Ann"}])
    jobs = [{"site": site["id"], "user": user["id"], "execution_time": each} for each in seconds]
    return {job["id"] for job in call("POST", "/jobs", jobs)}


def completed() -> set[int]:
    return {job["id"] for job in call("GET", "/jobs?status=completed&limit=100")}


def test_jobs_that_were_posted_are_completed_and_rq_shows_the_crew(stacks: Stacks, tmp_path: Path) -> None:
    start(stacks)
    jobs = submit([0.001, 0.01, 0.1, 0.5, 1.1])
    eventually(lambda: completed() == jobs, 60.0)
    assert all(job["attempt"] == 1 and job["run_time"] >= job["execution_time"] for job in call("GET", "/jobs"))
    info = subprocess.run(
        [sys.executable, "-m", "jobsched", "info"], env={**BARE, "JOBSCHED_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, check=True,
    ).stdout
    assert "2 workers" in info
    assert "band-1ms" in info


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_job_is_lost_when_the_stack_ends_in_the_middle_and_starts_again(stacks: Stacks, how: signal.Signals) -> None:
    stack = start(stacks)
    jobs = submit([0.2] * 40)
    eventually(completed, 60.0)
    stack.end(how)
    eventually(lambda: not stack.living())
    again = start(stacks)
    assert 0 < len(completed()) <= len(jobs)
    eventually(lambda: completed() == jobs, 60.0)
    assert again.end() == 0
    assert again.living() == []


def _status(path: str) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()
