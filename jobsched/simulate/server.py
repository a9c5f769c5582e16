"""The Redis of a simulation: a separate server that stores nothing on disk, or fakeredis."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

from redis import Redis

from jobsched.base.processes import on_one_cpu, spawn
from jobsched.domain import JobschedError
from jobsched.host import embedded

#: A Redis that does not answer within this time is broken, in seconds.
STARTS_S = 10.0


@contextmanager
def real() -> Iterator[Redis]:
    """A separate Redis server, for the block. Raises NoRedisServer, or JobschedError if it does not start.

    The simulation and the server wait for each other, so both stay on one CPU.
    """
    with TemporaryDirectory(prefix="jobsched-simulate-") as directory, on_one_cpu():
        redis = embedded.prepare(Path(directory), token_hex(16), keep=False)
        process = spawn(redis.argv, os.environ, output=subprocess.DEVNULL, stdin=redis.config)
        try:
            _await(redis, process)
            with Redis.from_url(redis.url) as client:
                yield client
        finally:
            process.kill()
            process.wait()
            redis.forget()


@contextmanager
def fake() -> Iterator[Redis]:
    """A Redis inside this process, far slower. Raises JobschedError if fakeredis with Lua is not installed."""
    try:
        import fakeredis

        import_module("lupa")  # fakeredis runs scripts by it
    except ImportError as error:
        raise JobschedError("--redis fake needs fakeredis: pip install 'fakeredis[lua]'") from error
    with fakeredis.FakeRedis(server=fakeredis.FakeServer()) as client:
        yield client


def _await(redis: embedded.EmbeddedRedis, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTS_S
    while not embedded.answers(redis.url):
        if process.poll() is not None or time.monotonic() > deadline:
            said = redis.log.read_text(errors="replace") if redis.log.exists() else ""
            raise JobschedError(f"the simulation's Redis does not start: {said[-2000:]}")
        time.sleep(0.02)
