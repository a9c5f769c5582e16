"""What programs and tasks print reaches the log: each line, in bounded memory, and at once."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from jobsched.config import Settings
from jobsched.host.embedded import free_port
from jobsched.host.lines import GOES_ON
from tests.acceptance.up import Stacks
from tests.engine import engine, until_completed
from tests.support import eventually, make_job

pytestmark = pytest.mark.slow

LOUD = """
import os, time
for _ in range(1024):
    os.write(1, b"y" * 65536)
os.write(1, b"\\nthe end\\n")
time.sleep(600)
"""
PRINTS = """
import os, sys
from jobsched import task

@task
def prints(payload):
    print("out", payload["number"])
    print("err", payload["number"], file=sys.stderr)
    if payload["number"] % 3 == 0:
        print("part", payload["number"], end=";")
"""


def test_64_mb_without_a_newline_are_all_there_and_take_little_memory(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    (tmp_path / "Procfile").write_text("loud: python loud.py")
    with Stacks(tmp_path) as stacks:
        stack = stacks.start(PORT=str(free_port()))
        eventually(lambda: stack.log.read_bytes()[-10_000:].find(b"loud | the end") >= 0, 60.0, every_s=0.5)
        assert psutil.Process(stack.process.pid).memory_info().rss < 200_000_000
        said = stack.said()
    pieces = [line.removeprefix("loud | ") for line in said.splitlines() if line.startswith("loud | y")]
    assert sum(piece.removesuffix(GOES_ON).count("y") for piece in pieces) == 64 * 1024 * 1024
    assert all(piece.endswith(GOES_ON) for piece in pieces[:-1])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("ledger", "redis")
def test_each_line_that_a_task_prints_into_a_file_is_there(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "that_print.py").write_text(PRINTS)
    with engine(settings, tmp_path, ("dispatcher", "worker"), JOBSCHED_TASKS="that_print", JOBSCHED_WORKERS="1",
                PYTHONPATH=f"{Path(__file__).parents[2]}:{tmp_path}", PYTHONUNBUFFERED="") as running:
        for number in range(12):
            make_job(task="prints", payload={"number": number})
        until_completed(12, 60.0)
        lines = [f"{word} {number}\n" for word in ("out", "err") for number in range(12)]
        parts = [f"part {number};" for number in range(0, 12, 3)]
        eventually(lambda: all(text in running["worker"].said() for text in [*lines, *parts]))
