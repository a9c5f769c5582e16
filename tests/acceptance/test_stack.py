"""`jobsched up` with real processes: it starts, restarts and ends all programs of a Procfile, and Redis with them."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis

from jobsched.base import home
from jobsched.host import embedded
from tests.acceptance.up import BARE, Stacks, Up
from tests.servers import RedisServer
from tests.support import eventually

WEB = "web: python -m http.server --bind 127.0.0.1 --directory served $PORT"
SLEEPER = "sleeper: python -c 'import time; time.sleep(600)'"
#: Its child ends only by SIGKILL, and leaves its process group, as the work horse of RQ does.
STUBBORN = """
import os, signal, time
if os.fork() == 0:
    os.setpgrp()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("the stubborn one runs", flush=True)
time.sleep(600)
"""
Start = Callable[..., Up]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Start]:
    """Starts stacks in one directory; at the end of the test none is left."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "healthz").touch()
    (tmp_path / "stubborn.py").write_text(STUBBORN)

    with Stacks(tmp_path) as stacks:
        def start(*programs: str, **env: str) -> Up:
            (tmp_path / "Procfile").write_text("\n".join(programs))
            return stacks.start(**{"PORT": str(embedded.free_port()), **env})

        yield start


def test_it_serves_names_its_url_and_ends_clean_on_sigterm(up: Start, tmp_path: Path) -> None:
    stack = up(WEB, SLEEPER, PORT=(port := str(embedded.free_port())))
    stack.until_it_says(f"jobsched serves http://127.0.0.1:{port}/")
    running = home.running(tmp_path / "home")
    assert running
    assert running.url == f"http://127.0.0.1:{port}/"
    assert embedded.answers(running.redis_url)
    assert stack.end() == 0
    assert stack.living() == []
    assert home.running(tmp_path / "home") is None


def test_it_ends_clean_on_ctrl_c(up: Start) -> None:
    stack = up(WEB)
    stack.until_it_says("jobsched serves")
    assert stack.end(signal.SIGINT) == 0
    assert stack.living() == []


def test_it_ends_clean_while_it_starts(up: Start) -> None:
    stack = up(WEB)
    eventually(lambda: stack.named("unixsocket"))
    assert stack.end() == 0
    assert stack.living() == []


def test_a_program_that_dies_is_started_again(up: Start) -> None:
    stack = up("sleeper: python -c 'import time; print(\"here I am\", flush=True); time.sleep(600)'")
    stack.until_it_says("here I am")
    [first] = stack.named("here I am")
    first.kill()
    stack.until_it_says("here I am", times=2)
    assert "ended with SIGKILL; restarts" in stack.said()
    [second] = stack.named("here I am")
    assert second != first


def test_what_a_dead_program_left_behind_ends_before_its_restart(up: Start) -> None:
    stack = up("stubborn: python stubborn.py")
    stack.until_it_says("the stubborn one runs")
    parent = next(process for process in stack.named("stubborn.py") if process.ppid() == stack.process.pid)
    [child] = parent.children()
    parent.kill()
    stack.until_it_says("the stubborn one runs", times=2)
    assert child not in stack.living()


def test_what_ignores_sigterm_is_killed_with_its_descendants(up: Start) -> None:
    stack = up("stubborn: python stubborn.py")
    stack.until_it_says("the stubborn one runs")
    assert len(stack.named("stubborn.py")) == 2
    assert stack.end() == 0
    assert stack.living() == []


def test_a_killed_stack_leaves_none_of_its_programs(up: Start) -> None:
    stack = up(WEB, SLEEPER)
    stack.until_it_says("jobsched serves")
    assert len(stack.living()) >= 4
    stack.end(signal.SIGKILL)
    eventually(lambda: not stack.living())


def test_redis_keeps_what_it_was_told_over_a_restart_and_over_a_crash(up: Start, tmp_path: Path) -> None:
    stack = up(WEB)
    stack.until_it_says("jobsched serves")
    url = running_redis_url(tmp_path)
    with Redis.from_url(url) as redis:
        redis.set("told", "once")
        assert redis.config_get("appendonly", "maxmemory-policy") == {
            "appendonly": "yes", "maxmemory-policy": "noeviction"}
    assert stack.end() == 0

    stack = up(WEB)
    stack.until_it_says("jobsched serves")
    url = running_redis_url(tmp_path)
    with Redis.from_url(url) as redis:
        assert redis.get("told") == b"once"
        pid = redis.info("server")["process_id"]
        os.kill(pid, signal.SIGKILL)
    stack.until_it_says("redis")
    eventually(lambda: embedded.answers(url))
    with Redis.from_url(url) as redis:
        assert redis.get("told") == b"once"
        assert redis.info("server")["process_id"] != pid


def test_the_redis_that_is_named_is_used(up: Start, redis_server: RedisServer) -> None:
    url = redis_server.url
    stack = up(WEB, "shown: python -c 'import os, time; print(os.environ[\"REDIS_URL\"], flush=True); time.sleep(600)'",
               REDIS_URL=url)
    stack.until_it_says(f"| {url}")
    stack.until_it_says("jobsched serves")
    assert stack.named("redis-server") == []


def test_its_home_and_its_secret_are_for_its_user_only_and_the_secret_stays(up: Start, tmp_path: Path) -> None:
    shown = "shown: python -c 'import os, time; print(os.environ[\"SECRET_KEY\"], flush=True); time.sleep(600)'"
    stack = up(shown)
    key = tmp_path / "home" / "secret_key"
    eventually(key.exists)
    stack.until_it_says(f"| {key.read_text()}")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    stack.end()
    up(shown).until_it_says(f"| {key.read_text()}")


def test_a_taken_port_is_named(up: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = up(WEB, PORT=str(port))
        assert stack.process.wait(30) == 1
    assert f"PORT={port}: can not listen on 127.0.0.1:{port}: Address already in use" in stack.said()
    assert stack.living() == []


def test_a_host_that_others_can_reach_is_refused_with_the_reason(up: Start) -> None:
    stack = up(WEB, HOST="0.0.0.0")
    assert stack.process.wait(30) == 1
    assert "no access keys yet" in stack.said()
    assert stack.living() == []


def test_a_second_stack_on_the_same_home_is_refused(up: Start) -> None:
    first = up(WEB)
    first.until_it_says("jobsched serves")
    second = up(WEB)
    assert second.process.wait(30) == 1
    assert f"another stack (process {first.process.pid}) runs on" in second.said()
    assert first.process.poll() is None


def test_all_faults_of_the_settings_are_listed_and_nothing_starts(up: Start, tmp_path: Path) -> None:
    stack = up(WEB, PORT="none", JOBSCHED_WORKERS="0")
    assert stack.process.wait(30) == 2
    assert [line.partition("=")[0] for line in stack.said().splitlines()] == ["PORT", "JOBSCHED_WORKERS"]
    assert not (tmp_path / "home").exists()


def test_a_database_that_can_not_be_used_ends_the_start_with_a_sentence(up: Start) -> None:
    stack = up(WEB, DATABASE_URL="sqlite:////nowhere/at/all.db")
    assert stack.process.wait(60) == 1
    assert "the database can not be used: unable to open database file" in stack.said()
    assert "Traceback" not in stack.said()
    assert stack.living() == []


def test_output_that_nobody_reads_does_not_keep_it_from_ending(up: Start, tmp_path: Path) -> None:
    """Its pipe is full: it has to drop lines rather than wait."""
    (tmp_path / "Procfile").write_text("loud: yes")
    with subprocess.Popen(
        [sys.executable, "-m", "jobsched", "up"], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        env={**BARE, "JOBSCHED_HOME": str(tmp_path / "home"), "PORT": str(embedded.free_port())},
    ) as process:
        eventually(lambda: any(child.name() == "yes" for child in psutil.Process(process.pid).children()), 60.0)
        process.terminate()
        assert process.wait(30) == 0


def running_redis_url(tmp_path: Path) -> str:
    running = home.running(tmp_path / "home")
    assert running
    return running.redis_url
