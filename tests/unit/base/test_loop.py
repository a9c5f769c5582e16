"""The loop of every long-running process."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable

import pytest

from jobsched.base import loop
from jobsched.base.loop import run_forever, stop_signals


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def stopping_after(calls: int, delay: float = 0.0, log: list[str] | None = None) -> Callable[[], float]:
    """A tick that sends us SIGTERM in its last call."""
    left = [calls]

    def tick() -> float:
        left[0] -= 1
        if log is not None:
            log.append("tick")
        if left[0] == 0:
            stop()
        return delay

    return tick


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ticks_until_a_signal_tells_it_to_stop(number: signal.Signals) -> None:
    ticks: list[int] = []

    def tick() -> float:
        ticks.append(1)
        if len(ticks) == 3:
            os.kill(os.getpid(), number)
        return 0

    run_forever(tick, lambda _: None)

    assert len(ticks) == 3


def test_it_sleeps_for_what_the_tick_returned_and_not_when_it_stops() -> None:
    slept: list[float] = []

    run_forever(stopping_after(3, 0.25), slept.append)

    assert slept == [0.25, 0.25]


def test_a_tick_that_returns_nothing_to_sleep_is_followed_by_the_next_at_once() -> None:
    slept: list[float] = []

    run_forever(stopping_after(3, 0.0), slept.append)

    assert slept == []


def test_a_tick_or_a_sleep_that_raises_is_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop, "MOST_BACKOFF_S", 0.001)
    calls: list[str] = []

    def tick() -> float:
        calls.append("tick")
        if len(calls) == 1:
            raise RuntimeError("no database")
        return 1.0

    def sleep(_: float) -> None:
        if len(calls) == 3:
            stop()
            return
        raise OSError("no doorbell")

    with caplog.at_level(logging.WARNING):
        run_forever(tick, sleep)

    assert len(calls) == 3
    assert "no database" in caplog.text
    assert "no doorbell" in caplog.text


def test_it_goes_on_however_often_a_tick_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MOST_BACKOFF_S", 0.0)
    monkeypatch.setattr(loop.log, "disabled", True)
    calls: list[int] = []

    def tick() -> float:
        calls.append(1)
        if len(calls) == 1_100:
            stop()
        raise RuntimeError("no database")

    run_forever(tick, lambda _: None)

    assert len(calls) == 1_100


def test_a_pause_after_a_failure_ends_when_it_is_told_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MOST_BACKOFF_S", 3600.0)

    def tick() -> float:
        stop()
        raise RuntimeError("in the hour's pause there is a signal")

    run_forever(tick, lambda _: None)


def test_the_handlers_that_were_there_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    with stop_signals() as stopped:
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped.wait(5)

    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
