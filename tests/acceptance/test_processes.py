"""The path of a job through separate processes, as on several hosts, on both databases."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from jobsched.board import Board
from jobsched.config import Settings
from jobsched.host.demo import BATCH
from jobsched.host.embedded import free_port
from jobsched.ledger.models import utcnow
from tests.engine import engine, environment, running, starts, until_completed
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ledger", "redis")]

BIN = Path(sys.executable).parent


class Site:
    """The web, as a client sees it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def call(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json", "Accept": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
            assert response.status < 300, answer
            return answer
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            return bool(self.call("GET", "/healthz"))
        except (OSError, http.client.HTTPException):
            return False

    def people(self) -> None:
        """Five sites, and a user at each."""
        self.call("POST", "/sites", [{"name": f"site {i}"} for i in range(1, 6)])
        self.call("POST", "/user-records", [{"name": f"user {i}", "site": i} for i in range(1, 6)])


@contextmanager
def web(settings: Settings, directory: Path) -> Iterator[Site]:
    port = free_port()
    env = environment(settings, PORT=str(port), HOST="127.0.0.1")
    with running([str(BIN / "gunicorn"), "app:app"], env, directory / "web.log"):
        site = Site(port)
        eventually(site.answers, 40)
        yield site


def rq_info(settings: Settings) -> str:
    done = subprocess.run([str(BIN / "rq"), "info", "--raw", "--url", settings.redis_url], capture_output=True,
                          text=True, check=True)
    return done.stdout


def test_from_the_request_to_the_recorded_completion(settings: Settings, redis: Redis, tmp_path: Path) -> None:
    """The batch of the demo, twenty times as quick, each job once."""
    book = tmp_path / "book"
    with web(settings, tmp_path) as site, engine(settings, tmp_path):
        site.people()
        jobs = site.call("POST", "/jobs", [
            {"user": user, "site": at, "execution_time": round(seconds / 20, 6), "task": "tally",
             "payload": {"book": str(book), "seconds": seconds / 20}}
            for user, at, seconds in BATCH
        ])
        later = site.call("POST", "/jobs", {
            "user": 1, "site": 1, "execution_time": 0.001, "run_at": (utcnow() + timedelta(seconds=1)).isoformat(),
        })
        assert later["status"] == "scheduled"

        until_completed(21)
        info = rq_info(settings)

        rows = [site.call("GET", f"/jobs/{job['id']}") for job in jobs]

    assert starts(book) == {job["id"]: 1 for job in jobs}
    for row, (user, at, seconds) in zip(rows, BATCH, strict=True):
        assert (row["user"], row["site"], row["status"], row["attempt"]) == (user, at, "completed", 1)
        assert row["error"] is None
        assert row["submitted_at"] <= row["dispatched_at"] <= row["started_at"] <= row["finished_at"]
        assert row["run_time"] >= seconds / 20
    for band in settings.bands:
        if any(row["band"] == band.name for row in rows):
            assert f"queue {band.queue} 0" in info
    assert info.count("worker ") == 4


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_plain_rq_worker_is_a_worker_too(settings: Settings, redis: Redis, tmp_path: Path) -> None:
    env = environment(settings)
    argv = [str(BIN / "rq"), "worker", "--url", settings.redis_url, "--serializer", "json",
            "--job-class", "jobsched.queues.lanes.SliceJob"]
    with (
        web(settings, tmp_path) as site,
        engine(settings, tmp_path, ("dispatcher",)),
        running([*argv, "wake", *(band.queue for band in settings.bands)], env, tmp_path / "rq.log") as worker,
    ):
        site.people()
        jobs = site.call("POST", "/jobs", [
            {"user": 1 + i % 5, "site": 1 + i % 5, "execution_time": 0.001 * 7 ** (i % 4), "task": "echo",
             "payload": {"back": i}} for i in range(12)
        ])
        until_completed(12)
        info = rq_info(settings)
        eventually(lambda: Board(redis).upkeep.flying() == {})
        results = [site.call("GET", f"/jobs/{job['id']}")["result"] for job in jobs]

        assert worker.end() == 0

    assert results == list(range(12))
    assert info.count("worker ") == 1
    for band in settings.bands[:4]:
        assert f"queue {band.queue} 0" in info
