"""Tasks that the tests of the engine run, in the test's own process and in workers (``JOBSCHED_TASKS``)."""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from jobsched import Run, task
from jobsched.domain import JobschedError


@task
def echo(payload: dict[str, Any]) -> Any:
    """Return what the payload holds under ``back``."""
    return payload.get("back")


@task
def tally(payload: dict[str, Any], run: Run) -> None:
    """Write one line a start into the file ``book``: job and attempt; then work for ``seconds``."""
    with Path(payload["book"]).open("a") as book:
        book.write(f"{run.job} {run.attempt}\n")
    select.select([], [], [], payload.get("seconds", 0))  # time.sleep fails behind libfaketime


@task(timeout_s=60)
def hold(payload: dict[str, Any], run: Run) -> str:
    """Say who runs in the file ``here`` + attempt, and for which worker, then wait for the file ``go``."""
    Path(f"{payload['here']}-{run.attempt}").write_text(f"{os.getpid()} {os.getppid()}")
    while not Path(payload["go"]).exists():
        time.sleep(0.01)
    return run.key


@task
def boom(payload: dict[str, Any]) -> None:
    """Raise ValueError with the payload's ``text``."""
    raise ValueError(payload.get("text", "boom"))


@task
def refuse(payload: dict[str, Any]) -> None:
    """Raise one of jobsched's own errors with the payload's ``text``."""
    raise JobschedError(payload["text"])


@task
def strange(payload: dict[str, Any]) -> Any:
    """Return what JSON can not hold, or what is too much of it."""
    deep: list[Any] = []
    for _ in range(payload.get("depth", 900)):
        deep = [deep]
    return {
        "nan": float("nan"), "inf": float("-inf"), "set": {1}, "bytes": b"1", "large": "x" * 20_000,
        "wide": "é" * 9_000, "surrogate": "\ud800", "deep": deep,
    }[payload["what"]]


@task
def leave(payload: dict[str, Any]) -> None:
    """Call sys.exit."""
    sys.exit(payload.get("code", 0))


class Unusual(BaseException):
    """Not an Exception, as asyncio.CancelledError is not."""


@task
def raise_unusual(payload: dict[str, Any]) -> None:
    raise Unusual("not an Exception")


@task
def crash(payload: dict[str, Any]) -> None:
    """End the process as a fault in C code does."""
    os.abort()


@task(timeout_s=0.2)
def endless(payload: dict[str, Any]) -> None:
    while True:
        time.sleep(0.01)


@task(timeout_s=0.2)
def stubborn(payload: dict[str, Any]) -> None:
    """Catch every Exception and go on."""
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            continue


@task(timeout_s=0.2)
def immortal(payload: dict[str, Any]) -> None:
    """Catch everything and go on."""
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            continue


@task(timeout_s=0.5)
def unstopped_once(payload: dict[str, Any]) -> None:
    """Go on after the first stop."""
    try:
        while True:
            time.sleep(0.005)
    except BaseException:
        while True:
            time.sleep(0.005)


@task(timeout_s=60)
def cling(payload: dict[str, Any]) -> None:
    """Write the file ``here``, then catch every Exception and go on."""
    Path(payload["here"]).touch()
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            continue


@task
def outlast(payload: dict[str, Any], run: Run) -> str:
    """Work until the attempt ``ends_at``, whatever Exception comes; with ``once``, first say that it must not repeat.

    Stopped, it does as ``stopped`` says: end as anything does, ``swallow`` it, or ``break`` on its way out.
    """
    if payload.get("once"):
        run.must_not_repeat()
    try:
        while run.attempt < payload["ends_at"]:
            with suppress(Exception):
                time.sleep(0.005)
    except BaseException:
        if payload.get("stopped") == "break":
            raise OSError("broke") from None
        if payload.get("stopped") != "swallow":
            raise
        return "swallowed"
    return run.key


@task(timeout_s=0.1)
def outlast_briefly(payload: dict[str, Any]) -> None:
    """Work without an end, but for a time limit that is shorter than any band and its grace."""
    while True:
        time.sleep(0.005)


@task(retries=2, backoff_s=0.1)
def outlast_with_retries(payload: dict[str, Any], run: Run) -> str:
    """The same as ``outlast``, with retries of its own; raises at its second start."""
    if run.attempt == 2:
        raise RuntimeError("second")
    return outlast(payload, run)


@task(retries=2, backoff_s=0.1)
def flaky(payload: dict[str, Any], run: Run) -> int:
    """Raise until the attempt ``succeeds_at``."""
    if run.attempt < payload["succeeds_at"]:
        raise RuntimeError(f"attempt {run.attempt}")
    return run.attempt
