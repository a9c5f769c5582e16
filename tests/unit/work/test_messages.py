"""Which process reads the message of an error."""

from __future__ import annotations

import os

import pytest

from jobsched.work import messages


class SaysItsProcess(Exception):
    def __str__(self) -> str:
        return str(os.getpid())


class EndsItsProcess(Exception):
    def __str__(self) -> str:
        os._exit(7)


def test_a_message_that_the_code_of_a_task_makes_is_made_in_another_process() -> None:
    (said,) = messages.of([SaysItsProcess()])
    assert said is not None
    assert int(said) != os.getpid()


def test_an_error_that_ends_the_process_of_its_message_has_none() -> None:
    assert messages.of([ValueError("before"), EndsItsProcess(), ValueError("after")]) == ["before", None, "after"]


def test_a_message_that_python_makes_is_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise AssertionError("a fork costs a millisecond")

    monkeypatch.setattr(os, "fork", refuse)
    assert messages.of([KeyError("a"), OSError(2, "no", "file")]) == ["'a'", "[Errno 2] no: 'file'"]
