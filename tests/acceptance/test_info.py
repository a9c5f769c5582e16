"""``jobsched info`` runs nothing, loads nothing and changes nothing, whatever Redis holds."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from redis import Redis

from jobsched.config import Settings
from jobsched.host.embedded import free_port
from jobsched.queues.monitor import OPTIONS
from tests import forged
from tests.engine import ROOT, environment, running
from tests.support import eventually

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

QUEUES = ("band-1ms", "band-10s", "wake", "default")
JOBSCHED = (sys.executable, "-m", "jobsched", "info")
RQ = (str(Path(sys.executable).parent / "rq"), "info")
WAYS: tuple[tuple[str, ...], ...] = (
    (), ("-Q",), ("-W",), ("-R",), ("-r",), ("-W", "-R"), ("-r", "-R"), ("band-1ms",), ("-R", "band-1ms", "wake"),
    ("nobody-has-this",),
)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def env(settings: Settings, canary: Path) -> dict[str, str]:
    return environment(settings, CANARY=str(canary), PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def look(argv: Sequence[str], env: dict[str, str]) -> str:
    done = subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def dump(redis: Redis) -> dict[bytes, bytes | None]:
    return {key: redis.dump(key) for key in redis.keys("*")}


def commands(settings: Settings, way: Sequence[str]) -> list[list[str]]:
    return [[*JOBSCHED, *way], [*RQ, "-u", settings.redis_url, *OPTIONS, *way]]


def test_a_plain_rq_info_runs_what_is_planted(redis: Redis, settings: Settings, env: dict[str, str], canary: Path
                                              ) -> None:
    """Else the other tests here would show nothing."""
    forged.everywhere(redis, QUEUES)

    subprocess.run([*RQ, "-u", settings.redis_url], env=env, cwd=ROOT, capture_output=True, timeout=60)

    assert canary.exists()


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_looking_runs_nothing_and_leaves_all_as_it_is(
    redis: Redis, settings: Settings, env: dict[str, str], canary: Path, way: tuple[str, ...]
) -> None:
    forged.everywhere(redis, QUEUES)
    before = dump(redis)

    for command in commands(settings, way):
        look(command, env)

    assert not canary.exists()
    assert dump(redis) == before


def test_the_figures_are_those_of_rq(redis: Redis, settings: Settings, env: dict[str, str]) -> None:
    forged.everywhere(redis, ["band-1ms"])
    redis.zadd("rq:failed:band-1ms", {"another": 2})
    redis.rpush("rq:queue:band-10s", "a", "b", "c")
    redis.sadd("rq:queues", "rq:queue:band-10s")
    redis.hset("rq:worker:evil", mapping={"successful_job_count": 7, "failed_job_count": 2, "ip_address": "x:0"})

    for command in commands(settings, ["-r"]):
        assert look(command, env).splitlines() == [
            "queue band-10s 3, 0 executing, 0 finished, 0 failed",
            "queue band-1ms 1, 1 executing, 1 finished, 2 failed",
            "worker evil (here x:0 1) busy band-1ms. jobs: 7 finished, 2 failed",
        ]
    for command in commands(settings, ["-W", "-R"]):
        said = look(command, env)
        assert re.search(r"^band-1ms: +evil \(busy\)$", said, re.MULTILINE)
        assert re.search(r"^band-10s: +\S$", said, re.MULTILINE)


@pytest.mark.parametrize("way", [(), ("-r",), ("-R",), ("band-1ms",)], ids=" ".join)
def test_rubbish_is_left_out(redis: Redis, settings: Settings, env: dict[str, str], way: tuple[str, ...]) -> None:
    forged.everywhere(redis, QUEUES)
    forged.rubbish(redis, QUEUES)

    for command in commands(settings, way):
        said = look(command, env)
        assert "evil" in said
        assert "\x1b" not in said.replace("\x1b[32m", "").replace("\x1b[0m", "")


@pytest.mark.parametrize(("key", "kind"), list(forged.fixed_keys(["band-1ms"])))
def test_keys_of_another_type_are_empty(redis: Redis, settings: Settings, env: dict[str, str], key: str, kind: str
                                        ) -> None:
    forged.everywhere(redis, ["band-1ms"])
    forged.another_type(redis, key, kind)

    look([*JOBSCHED, "band-1ms", "-R"], env)
    look(JOBSCHED, env)


def test_looking_again_and_again_runs_nothing(redis: Redis, env: dict[str, str], canary: Path, tmp_path: Path) -> None:
    forged.everywhere(redis, QUEUES)

    with running([*JOBSCHED, "--interval", "0.1"], env, tmp_path / "log") as info:
        eventually(lambda: info.said().count("Updated") >= 3)
        assert info.end(signal.SIGINT) == 0

    assert not canary.exists()


@pytest.mark.parametrize("way", [(), ("--raw",), ("--interval", "1"), ("-W", "band-1ms")])
def test_redis_that_is_away_is_one_sentence_without_its_password(env: dict[str, str], way: tuple[str, ...]) -> None:
    away = {**env, "REDIS_URL": f"redis://:hidden@127.0.0.1:{free_port()}/0"}

    done = subprocess.run([*JOBSCHED, *way], env=away, cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"jobsched: Redis does not answer: .*\n", done.stderr)
    assert "hidden" not in done.stderr


def documented() -> list[str]:
    """Every ``rq info`` that a page of ours tells people to type."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [found for page in pages for found in re.findall(r"rq info -u (?:[^`\n\\]|\\\n)*", page.read_text())]


def test_what_the_documentation_says_to_type_runs_nothing(
    redis: Redis, settings: Settings, env: dict[str, str], canary: Path
) -> None:
    forged.everywhere(redis, QUEUES)
    assert documented()

    for command in documented():
        said = look(["/bin/sh", "-c", command], {**env, "REDIS_URL": settings.redis_url})
        assert "band-1ms" in said

    assert not canary.exists()
