"""What every long-running process shares: it owns sleeping and signals; the work is a ``tick``."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

from jobsched.base import ours
from jobsched.domain import ConfigError

log = logging.getLogger(__name__)

#: The longest pause after a tick that failed.
MOST_BACKOFF_S = 5.0


def run_forever(tick: Callable[[], float], sleep: Callable[[float], object]) -> None:
    """Call ``tick`` until SIGTERM or SIGINT; between two calls ``sleep`` for the seconds that it returned.

    A tick or sleep that raises is logged and tried again, after a pause that doubles up to MOST_BACKOFF_S; but for
    ConfigError, which is raised: time does not mend that.
    """
    failures = 0
    with stop_signals() as stop:
        while not stop.is_set():
            try:
                delay = tick()
                if delay > 0 and not stop.is_set():
                    sleep(delay)
                failures = 0
            except ConfigError:
                raise
            except Exception as error:
                failures += 1
                pause = min(MOST_BACKOFF_S, 0.1 * 2.0**failures)
                log.warning("tick failed, trying again in %.1f s: %s", pause, ours.said(error))
                ours.tell_once(log, "do a tick", error)
                stop.wait(pause)


@contextmanager
def stop_signals() -> Iterator[Event]:
    """An event that SIGTERM and SIGINT set, while the block runs."""
    stop = Event()
    before = {which: signal.signal(which, lambda *_: stop.set()) for which in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
