"""Plants one fault at a time in a copy of the tree, and runs its tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.catalog import DATABASES, Mutant

ROOT = Path(__file__).parents[2]
#: A mutant may well wait for ever for what does not come.
TIMEOUT_S = 120.0
#: Without a fault, the tests of all mutants run in one go.
SOUND_TIMEOUT_S = 1800.0
_LEFT_OUT = (".*", "__pycache__", "var", "*.egg-info", "build", "dist", "node_modules")
_NOTICED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


class Rotten(Exception):
    """A mutant that can not be planted, or whose tests can not be run."""


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: ``killed_by`` names the test that noticed it; None: it survived."""

    mutant: Mutant
    killed_by: str | None
    seconds: float


class Tree:
    """A copy of the working tree, to be mutated."""

    def __init__(self, directory: Path) -> None:
        self._root = directory / "tree"
        shutil.copytree(ROOT, self._root, ignore=shutil.ignore_patterns(*_LEFT_OUT))

    def try_out(self, mutant: Mutant) -> Verdict:
        """Run a mutant's tests with it planted. Raises Rotten."""
        begun = time.monotonic()
        with self._planted(mutant):
            code, output = self.run(mutant.tests, mutant.database)
        seconds = time.monotonic() - begun
        if code == 0:
            return Verdict(mutant, None, seconds)
        if code is None:
            return Verdict(mutant, f"no end within {TIMEOUT_S:g} s", seconds)
        if code < 0:
            return Verdict(mutant, f"the tests were killed by signal {-code}", seconds)
        noticed = _NOTICED.search(output)
        if code != 1 or noticed is None:
            raise Rotten(f"{mutant.name}: its tests could not be run (exit code {code})\n{output}")
        return Verdict(mutant, noticed[1], seconds)

    def must_pass(self, database: str, tests: Sequence[str]) -> None:
        """Run tests without a fault: else they would notice anything. Raises Rotten."""
        code, output = self.run(tests, database, SOUND_TIMEOUT_S)
        if code is None:
            raise Rotten(f"without a fault the tests do not end within {SOUND_TIMEOUT_S:g} s:\n{output}")
        if code != 0:
            raise Rotten(f"without a fault the tests do not pass:\n{output}")

    def run(self, tests: Sequence[str], database: str, timeout_s: float = TIMEOUT_S) -> tuple[int | None, str]:
        """Run tests on one database, up to the first failure.

        Returns their exit code (None: they did not end in time) and what they said.
        """
        (other,) = {*DATABASES} - {database}
        argv = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=short", "--no-header", "-p", "no:randomly",
                "-p", "no:cacheprovider", "-k", f"not {other}", *tests]
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(self._root),
               "JOBSCHED_REQUIRE_SERVERS": "1", "HYPOTHESIS_STORAGE_DIRECTORY": str(self._root / ".hypothesis")}
        process = subprocess.Popen(argv, cwd=self._root, env=env, text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            output, _ = process.communicate()
            return None, output
        return process.returncode, output

    @contextmanager
    def _planted(self, mutant: Mutant) -> Iterator[None]:
        before: dict[Path, str] = {}
        try:
            for change in mutant.changes:
                path = self._root / change.path
                text = path.read_text()
                before.setdefault(path, text)
                if text.count(change.old) != 1:
                    raise Rotten(f"{mutant.name}: {change.path} holds {text.count(change.old)} times:\n{change.old}")
                path.write_text(text.replace(change.old, change.new))
            yield
        finally:
            for path, text in before.items():
                path.write_text(text)
