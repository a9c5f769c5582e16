"""Breaks the stack for a while and prints the verdict; exits with 1 if a job was lost or recorded twice."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos import control, options, ours, report
from tests.chaos.options import Options
from tests.chaos.report import Outcome
from tests.servers import ServerMissing


def main() -> int:
    asked = options.parse()
    for number in (signal.SIGINT, signal.SIGTERM):  # so that what was started is ended
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        outcome = _in_directory(ours.run, asked)
    except ServerMissing as missing:
        options.say(f"make chaos: {missing}")
        return 2
    columns = {"jobsched": outcome.figures}
    if asked.control:
        columns["bare RQ"] = _in_directory(control.run, asked).figures
    print(json.dumps(columns, indent=2) if asked.json else "\n".join(report.table(columns)))
    for line in outcome.failures:
        print(line)
    if outcome.failures:
        print(f"seed {asked.seed}; once more: {asked.again()}")
    return 1 if outcome.failures else 0


def _in_directory(run: Callable[[Options, Path], Outcome], asked: Options) -> Outcome:
    with _directory() as (directory, keep):
        outcome = run(asked, directory)
        if outcome.failures or asked.keep:
            keep()
        return outcome


@contextmanager
def _directory() -> Iterator[tuple[Path, Callable[[], None]]]:
    """A directory that goes when the block ends, unless it is to be kept; then its path is told."""
    directory = Path(tempfile.mkdtemp(prefix="jobsched-chaos-"))
    directory.chmod(0o711)  # PostgreSQL runs as another user
    kept: list[Path] = []
    try:
        yield directory, lambda: kept.append(directory)
    except ServerMissing:
        raise
    except Exception:
        kept.append(directory)
        raise
    finally:
        if kept:
            options.say(f"what is left of it: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
