"""A separate stack for a benchmark: `jobsched up` in a directory, used over HTTP."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobsched.config import Settings, load
from jobsched.host.embedded import free_port
from jobsched.host.up import child

REPOSITORY = Path(__file__).parents[1]
#: How long a stack may take to be ready, and to end, in seconds.
STARTS_S, STOPS_S = 90.0, 20.0


class BenchmarkFailed(Exception):
    """The stack failed; the message ends with its latest output."""


@dataclass(frozen=True)
class Stack:
    """A running stack, and the settings that lead to its ledger."""

    process: subprocess.Popen[bytes]
    settings: Settings
    log: Path

    def post(self, path: str, body: object) -> list[dict[str, Any]]:
        """Create the objects in ``body``. Raises BenchmarkFailed if that is refused."""
        status, answer = self._call("POST", path, body)
        if status != http.client.CREATED:
            raise self.failed(f"POST {path} answered {status}: {answer}")
        created: list[dict[str, Any]] = json.loads(answer)
        return created

    def get(self, path: str) -> Any:
        """The JSON at a path. Raises BenchmarkFailed if it is refused."""
        status, answer = self._call("GET", path)
        if status != http.client.OK:
            raise self.failed(f"GET {path} answered {status}: {answer}")
        return json.loads(answer)

    def is_ready(self) -> bool:
        """Whether jobs that are submitted now will run."""
        try:
            return self._call("GET", "/readyz")[0] == http.client.OK
        except (OSError, http.client.HTTPException):
            return False

    def failed(self, reason: str) -> BenchmarkFailed:
        """The reason, with the end of the stack's log."""
        return BenchmarkFailed("\n".join([reason, *self.log.read_text(errors="replace").splitlines()[-25:]]))

    def _call(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.settings.port, timeout=60)
        try:
            headers = {"Accept": "application/json", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


@contextmanager
def running(directory: Path, settings: Mapping[str, str]) -> Iterator[Stack]:
    """A ready stack with these settings in ``directory``, for the block."""
    env = {"JOBSCHED_HOME": str(directory / "home"), "PORT": str(free_port()), **settings}
    with child(env, directory / "log", stop_s=STOPS_S, cwd=REPOSITORY) as process:
        stack = Stack(process, load(env), directory / "log")
        _await_ready(stack)
        yield stack


def _await_ready(stack: Stack) -> None:
    deadline = time.monotonic() + STARTS_S
    while not stack.is_ready():
        if stack.process.poll() is not None or time.monotonic() > deadline:
            raise stack.failed("the stack is not ready")
        time.sleep(0.1)


def in_batches(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """The rows in lists of at most ``size``."""
    for begin in range(0, len(rows), size):
        yield rows[begin:begin + size]
