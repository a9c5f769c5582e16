"""Lines reach a fast reader, and no writer waits for a slow one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobsched.host.console import Console


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue


def test_a_line_is_written_whole(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    Console(writer).line("ö" * 1000)
    assert os.read(reader, 10_000).decode() == "ö" * 1000 + "\n"


def test_lines_that_do_not_fit_are_kept_until_they_do(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    console = Console(writer)
    for number in range(5000):
        console.line(f"{number:020}")
    read = b""
    while len(read) < 5000 * 21:
        read += os.read(reader, 65536)
        console.flush()
    assert read.decode().split() == [f"{number:020}" for number in range(5000)]


def test_of_too_many_lines_the_oldest_are_dropped_and_nothing_waits(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    console = Console(writer)
    for number in range(20_000):
        console.line(f"{number:020}")


def test_a_reader_that_is_gone_is_no_error(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    console = Console(writer)
    console.line("to nobody")
    console.line("again")


def test_it_says_how_many_lines_were_dropped_and_where(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.set_blocking(reader, False)
    console = Console(writer)
    for number in range(200_000):
        console.line(f"{number:020}")
    read = b""
    while b"199999\n" not in read:
        read += os.read(reader, 65536)
        console.flush()
    numbers = [line for line in read.decode().splitlines() if line.isdigit()]
    [note] = [line for line in read.decode().splitlines() if not line.isdigit()]
    assert f"[{200_000 - len(numbers)} lines were dropped here" in note


def test_lines_come_again_when_a_full_disk_is_freed(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: what is beyond it can not be written until it is raised."""
    log = tmp_path / "log"
    code = (
        "import os, resource, sys; from jobsched.host.console import Console\n"
        "console = Console(sys.stdout.fileno())\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "for number in range(100): console.line(f'{number:020}')\n"
        "assert os.fstat(1).st_size == 1000\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "console.line('free again')\n"
    )
    with log.open("wb") as output:
        subprocess.run([sys.executable, "-c", code], stdout=output, check=True)
    assert log.read_text().splitlines() == [*(f"{number:020}" for number in range(100)), "free again"]


def test_a_named_pipe_that_gets_another_reader_gets_the_lines(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    first = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    console = Console(writer)
    os.close(first)
    console.line("to nobody yet")
    second = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    console.flush()
    assert os.read(second, 100) == b"to nobody yet\n"
    os.close(second)
    os.close(writer)
