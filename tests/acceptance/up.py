"""A `jobsched up` for tests, with all processes that it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import psutil

from jobsched.config import without_settings
from tests.support import eventually

ROOT = Path(__file__).parents[2]
#: `jobsched up` that does not wait long for those that will not end.
IMPATIENT_UP = """
from jobsched.cli import main
from jobsched.host import supervise
supervise.PATIENCE_S = 2.0
main(["up"])
"""
#: Our environment without any setting that it may hold.
BARE = without_settings(os.environ) | {"PYTHONPATH": str(ROOT)}


class Up:
    """One `jobsched up` in a directory of its own, and all processes that run in there."""

    def __init__(self, directory: Path, **env: str) -> None:
        self.directory = directory
        self.log = directory / f"{uuid4().hex}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", IMPATIENT_UP],
                cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env={**BARE, "JOBSCHED_HOME": str(directory / "home"), **env},
            )

    def said(self) -> str:
        return self.log.read_text()

    def until_it_says(self, text: str, times: int = 1) -> None:
        eventually(lambda: self.said().count(text) >= times or self._must_live(text), 60.0)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def living(self) -> list[psutil.Process]:
        """All processes of this stack, whoever is their parent now, by where they run."""
        return [process for process in psutil.process_iter() if _runs_in(process, self.directory)]

    def named(self, part: str) -> list[psutil.Process]:
        """The processes of this stack whose command line holds ``part``."""
        return [process for process in self.living() if any(part in word for word in _words(process))]

    def _must_live(self, text: str) -> bool:
        assert self.process.poll() is None, f"it ended before it said {text!r}: {self.said()}"
        return False


class Stacks:
    """Starts stacks in one directory. Afterwards none of their processes is left."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: list[Up] = []

    def start(self, **env: str) -> Up:
        self._started.append(Up(self._directory, **env))
        return self._started[-1]

    def __enter__(self) -> Stacks:
        return self

    def __exit__(self, *_: object) -> None:
        for stack in self._started:
            stack.process.kill()
            stack.process.wait()
            for process in stack.living():
                process.kill()


def _runs_in(process: psutil.Process, directory: Path) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(directory)
    except psutil.Error:
        return False


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
