"""A password in REDIS_URL or DATABASE_URL appears in no output, argument, answer, error or file."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from jobsched.base.processes import spawn
from jobsched.host.embedded import free_port
from tests.acceptance.shown import answer, arguments, pages
from tests.acceptance.up import BARE, ROOT, Stacks
from tests.servers import PostgresServer, redis_binary
from tests.support import eventually

pytestmark = pytest.mark.slow

#: Of no word that a program would say by itself.
PLANTED = "p1antedSecret"
TASKS = """
from jobsched import task

@task
def fails(payload):
    raise ValueError("as it should")
"""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """The URL of a Redis that asks for the planted password, and what ends it."""
    port = free_port()
    config = f'port {port}\nbind 127.0.0.1\nrequirepass "{PLANTED}"\nsave ""\n'
    process = spawn([redis_binary(), "-"], os.environ, cwd=tmp_path, output=subprocess.DEVNULL, stdin=config.encode())

    def end() -> None:
        process.kill()
        process.wait()

    yield f"redis://:{PLANTED}@127.0.0.1:{port}/0", end
    end()


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty database, with the planted password, which the server does not ask for."""
    name = f"secret_{uuid4().hex}"
    postgres.administer(f'CREATE DATABASE "{name}"')
    yield f"postgres://jobsched:{PLANTED}@/{name}?host={postgres.directory}"
    postgres.administer(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_a_password_is_nowhere_to_be_seen(
    tmp_path: Path, redis: tuple[str, Callable[[], None]], database: str,
) -> None:
    (tmp_path / "tasks_of_ours.py").write_text(TASKS)
    port = free_port()
    settings = {"PORT": str(port), "REDIS_URL": redis[0], "DATABASE_URL": database, "SECRET_KEY": f"key-{PLANTED}",
                "JOBSCHED_TASKS": "tasks_of_ours", "JOBSCHED_HOME": str(tmp_path / "home"), "JOBSCHED_WORKERS": "1",
                "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    shown: list[str] = []
    with Stacks(tmp_path) as stacks:
        stack = stacks.start(**settings)
        stack.until_it_says("jobsched serves")
        eventually(lambda: answer(port, "GET", "/readyz")[0] == http.client.OK, 60.0)
        for path, wish in (("/sites", {"name": "Acme"}), ("/user-records", {"site": 1, "name": "Ada"}),
                           ("/jobs", {"site": 1, "user": 1, "execution_time": 0.01, "task": "fails"})):
            status, made = answer(port, "POST", path, wish)
            assert status == http.client.CREATED, made
        eventually(lambda: answer(port, "GET", "/jobs/1")[1]["status"] == "failed", 60.0)
        shown += arguments(stack.process.pid)
        assert len(shown) > 5
        shown += pages(port)
        shown += [command(name, settings, tmp_path) for name in ("info", "plan", "policy")]
        redis[1]()
        shown += pages(port)
        shown += [command(name, settings, tmp_path) for name in ("info", "repair")]
        eventually(lambda: "Redis" in stack.said(), 60.0)
        assert stack.end(signal.SIGTERM) == 0
        shown.append(stack.said())
    wrong = {**settings, "REDIS_URL": redis[0].replace("127.0.0.1:", "127.0.0.1:x"),
             "DATABASE_URL": database.replace("postgres:", "mysql:")}
    away = {**settings, "DATABASE_URL": database.replace("host=", "host=/nowhere")}
    shown += [command(name, its, tmp_path) for name, its in (("up", wrong), ("web", wrong), ("migrate", away))]
    assert all(shown)
    assert [text for text in shown if PLANTED in text] == []
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file() and PLANTED in path.read_text()] == []


def command(name: str, settings: dict[str, str], directory: Path) -> str:
    """All that a command says, which ends by itself."""
    done = subprocess.run([sys.executable, "-m", "jobsched", name], env={**BARE, **settings}, cwd=directory,
                          capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr
