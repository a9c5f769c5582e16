"""Lines reach a reader that keeps up, and nobody waits for one that does not."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from jobsched.console import Console


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
