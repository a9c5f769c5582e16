"""`jobsched up` whose embedded Redis cannot load its files: they are set aside, and the stack serves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from jobsched.base import home
from jobsched.board import PREFIX
from jobsched.host import embedded
from tests.acceptance.up import Stacks, Up
from tests.aof import AOF, fill, increment, zeros
from tests.chaos.stack import call
from tests.support import eventually

WEB = "web: python -m http.server --bind 127.0.0.1 --directory served $PORT"
REAL = ("web: python -m jobsched web", "dispatcher: python -m jobsched dispatcher")
Start = Callable[..., Up]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Start]:
    """Starts stacks in one directory; at the end of the test none is left."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "healthz").touch()
    with Stacks(tmp_path) as stacks:
        def start(*programs: str, **env: str) -> Up:
            (tmp_path / "Procfile").write_text("\n".join(programs))
            return stacks.start(**{"PORT": str(embedded.free_port()), **env})

        yield start


def test_a_board_whose_file_has_zeros_in_its_middle_is_built_from_sql(up: Start, tmp_path: Path) -> None:
    port = embedded.free_port()
    stack = up(*REAL, PORT=str(port))
    stack.until_it_says("jobsched serves")
    job = submitted(port)
    eventually(lambda: on_board(tmp_path, job))
    assert stack.end() == 0
    data = tmp_path / "home" / "redis" / AOF
    zeros(increment(data), 0.5)

    stack = up(*REAL, PORT=str(port))
    stack.until_it_says("jobsched serves")
    assert "Redis can not load what it wrote" in stack.said()
    [aside] = data.parent.glob(f"{AOF}.*")
    assert str(aside) in stack.said()
    eventually(lambda: on_board(tmp_path, job))


def test_data_that_goes_bad_while_the_stack_runs_is_set_aside_when_redis_dies(up: Start, tmp_path: Path) -> None:
    stack = up(WEB)
    stack.until_it_says("jobsched serves")
    url, data = redis_url(tmp_path), tmp_path / "home" / "redis" / AOF
    with Redis.from_url(url) as redis:
        fill(redis, "told")
        eventually(lambda: increment(data).stat().st_size > 10_000)
        zeros(increment(data), 0.5)
        os.kill(redis.info("server")["process_id"], signal.SIGKILL)
    stack.until_it_says("warning: Redis can not load what it wrote")
    eventually(lambda: embedded.answers(url))
    assert stack.end() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_data_of_another_user_that_does_not_load_stays_and_a_sentence_says_so(up: Start, tmp_path: Path) -> None:
    stack, data = up(WEB), tmp_path / "home" / "redis" / AOF
    stack.until_it_says("jobsched serves")
    with Redis.from_url(redis_url(tmp_path)) as redis:
        fill(redis, "told")
    assert stack.end() == 0
    zeros(increment(data), 0.5)
    os.chown(increment(data), 4711, 4711)
    stack = up(WEB)
    assert stack.process.wait(60) == 1
    assert f"can not load {increment(data)}, which belongs to the user 4711" in stack.said()
    assert "Traceback" not in stack.said()
    assert not list(data.parent.glob(f"{AOF}.*"))


def redis_url(directory: Path) -> str:
    running = home.running(directory / "home")
    assert running
    return running.redis_url


def on_board(directory: Path, job: int) -> bool:
    with Redis.from_url(redis_url(directory)) as redis:
        return bool(redis.hexists(f"{PREFIX}jobs", str(job)))


def submitted(port: int) -> int:
    """A job that waits, since there is no worker."""
    _, site = call(port, "POST", "/sites", {"name": "one"})
    _, user = call(port, "POST", "/user-records", {"name": "one", "site": site["id"]})
    for _ in range(3):  # more than the first lanes' windows take, so that some stay on the board
        status, answer = call(port, "POST", "/jobs", [{"user": user["id"], "site": site["id"], "execution_time": 0.01}]
                              * 40)
        assert status == 201, answer
    return int(answer[-1]["id"])
