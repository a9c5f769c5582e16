"""The main loop of every long-running process: it sleeps and handles signals, and calls a ``tick`` for the work."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

from jobsched.base import bugs
from jobsched.domain import ConfigError

log = logging.getLogger(__name__)

#: The first and the longest pause after a tick that failed, in seconds.
FIRST_BACKOFF_S, MOST_BACKOFF_S = 0.2, 5.0


def run_forever(tick: Callable[[], float], sleep: Callable[[float], object]) -> None:
    """Call ``tick`` until SIGTERM or SIGINT; between two calls ``sleep`` for the seconds that it returned.

    When a tick or a sleep raises, the error is logged, and the loop goes on after a pause that doubles up to
    MOST_BACKOFF_S. Only ConfigError ends the loop, because to wait does not mend the settings.
    """
    pause_s = 0.0
    with stop_signals() as stop:
        while not stop.is_set():
            try:
                delay = tick()
                if delay > 0 and not stop.is_set():
                    sleep(delay)
                pause_s = 0.0
            except ConfigError:
                raise
            except Exception as error:
                pause_s = min(MOST_BACKOFF_S, max(FIRST_BACKOFF_S, 2 * pause_s))
                log.warning("tick failed, trying again in %.1f s: %s", pause_s, bugs.one_line(error))
                bugs.log_once(log, "do a tick", error)
                stop.wait(pause_s)


@contextmanager
def stop_signals() -> Iterator[Event]:
    """During the block, SIGTERM and SIGINT set this event and do nothing else."""
    stop = Event()
    before = {which: signal.signal(which, lambda *_: stop.set()) for which in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
