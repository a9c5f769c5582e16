"""A worker's hold on a slice: renewed while it works, and let go of when somebody else has it."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread, get_ident
from types import TracebackType
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from jobsched.domain import BoardLost

log = logging.getLogger(__name__)

#: A task that does not end when it is told to is killed, with its process, after so many seconds more.
HARD_GRACE_S = 5.0


class LeaseLost(BaseException):
    """The slice was taken back. Not an Exception, so that a task's ``except Exception`` does not swallow it."""


class TimeLimitExceeded(BaseException):
    """A start took too long. Not an Exception, so that a task's ``except Exception`` does not swallow it."""


class Overrun(BaseException):
    """A start outlasted its lane. Not an Exception, so that a task's ``except Exception`` does not swallow it."""


class Lease:
    """Keeps a lease alive from a thread while the block runs, on the process's main thread.

    ``renew`` extends it and says whether it is still ours. When it is not, the task that runs is stopped with
    LeaseLost, and ``lost`` is set. A task that goes on for HARD_GRACE_S after it was stopped, by this or by its time
    limit, is killed with its process; ``before_kill`` is called first.
    """

    def __init__(self, renew: Callable[[], bool], every_s: float, before_kill: Callable[[], None]) -> None:
        self.lost = False
        self._renew = renew
        self._every_s = every_s
        self._before_kill = before_kill
        self._done = Event()
        self._thread = Thread(target=self._keep, name="lease", daemon=True)
        self._main = get_ident()
        self._in_task = False
        self._kill_at: float | None = None

    def __enter__(self) -> Lease:
        self._handlers: Sequence[Any] = (
            signal.signal(signal.SIGUSR1, self._on_lost), signal.signal(signal.SIGALRM, self._on_time)
        )
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._done.set()
        self._thread.join()
        signal.signal(signal.SIGUSR1, self._handlers[0])
        signal.signal(signal.SIGALRM, self._handlers[1])

    @contextmanager
    def task(self, limit_s: float, overrun_s: float | None = None) -> Iterator[None]:
        """Run a task in the block, for at most ``limit_s``, and for at most ``overrun_s`` when that is sooner.

        Raises Overrun, TimeLimitExceeded or LeaseLost from inside it. A task that swallows Overrun has its limit left.
        """
        self._limit_s = limit_s
        first_s = limit_s if overrun_s is None else min(limit_s, overrun_s)
        self._left_s = limit_s - first_s
        try:
            self._kill_at = time.monotonic() + limit_s + HARD_GRACE_S
            self._in_task = True
            signal.setitimer(signal.ITIMER_REAL, first_s)
            if self.lost:
                raise LeaseLost
            yield
        finally:
            try:  # the alarm may still come in here
                self._in_task = False
            finally:
                self._in_task = False
                signal.setitimer(signal.ITIMER_REAL, 0)
                self._kill_at = None

    def _keep(self) -> None:
        beat = min(self._every_s, HARD_GRACE_S) / 2
        renew_at = 0.0
        while True:
            now = time.monotonic()
            if not self.lost and now >= renew_at:
                renew_at = now + self._every_s
                self._ask()
            if self._kill_at is not None and now >= self._kill_at:
                self._kill()
            if self._done.wait(beat):
                return

    def _ask(self) -> None:
        try:
            self.lost = not self._renew()
        except (RedisError, BoardLost, SQLAlchemyError) as error:
            log.warning("could not renew the lease: %s", error)
        except Exception:  # the thread goes on: nobody else would stop a task that is stuck
            log.exception("could not renew the lease")
        if self.lost:
            if self._kill_at is not None:
                self._kill_at = min(self._kill_at, time.monotonic() + HARD_GRACE_S)
            signal.pthread_kill(self._main, signal.SIGUSR1)

    def _kill(self) -> None:
        log.error("a task did not stop: killing its process")
        try:
            self._before_kill()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)

    def _on_lost(self, *_: object) -> None:
        if self._in_task:
            raise LeaseLost

    def _on_time(self, *_: object) -> None:
        if not self._in_task:
            return
        if self._left_s:
            signal.setitimer(signal.ITIMER_REAL, self._left_s)
            self._left_s = 0.0
            raise Overrun
        raise TimeLimitExceeded(f"took longer than its limit of {self._limit_s:g} s")
