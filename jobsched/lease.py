"""A worker's hold on a slice: renewed while it works, and let go of when somebody else has it."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from threading import Event, Thread, get_ident
from types import FrameType, TracebackType
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from jobsched.database import PATIENCE_S
from jobsched.domain import BoardLost

log = logging.getLogger(__name__)

#: A task that does not end when it is told to is killed, with its process, after so many seconds more.
HARD_GRACE_S = 5.0
#: What a task leaves may be code, too: to describe its error, to read its result, to let go of its objects. For that
#: there are so many seconds, and so many more until the process is killed.
AFTERMATH_S, AFTERMATH_GRACE_S = 1.25, 0.5
#: The garbage collector may call such code between two tasks, too. When that takes so many seconds, more than we wait
#: for a database, the process is killed.
BETWEEN_S = PATIENCE_S + 30.0
#: A stop that was swallowed in the aftermath comes again after so many seconds.
_AGAIN_S = 0.05


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
    limit, is killed with its process; ``before_kill`` is called first. ``stops`` are what its latest task was stopped
    with, apart from LeaseLost.
    """

    def __init__(self, renew: Callable[[], bool], every_s: float, before_kill: Callable[[], None]) -> None:
        self.lost = False
        self.stops: list[BaseException] = []
        self._renew = renew
        self._every_s = every_s
        self._before_kill = before_kill
        self._done = Event()
        self._thread = Thread(target=self._keep, name="lease", daemon=True)
        self._main = get_ident()
        self._in_task = False
        self._next_stop: Callable[[], BaseException] | None = None
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

    def task(self, limit_s: float, overrun_s: float | None = None) -> _Bounds:
        """Run a task in the block, for at most ``limit_s``, and for at most ``overrun_s`` when that is sooner.

        Raises Overrun, TimeLimitExceeded or LeaseLost from inside it. A task that swallows Overrun has its limit left.
        """
        first_s = limit_s if overrun_s is None else min(limit_s, overrun_s)
        left_s = limit_s - first_s

        def at_limit() -> BaseException:
            return TimeLimitExceeded(f"took longer than its limit of {limit_s:g} s")

        def at_bound() -> BaseException:
            self._next_stop = at_limit
            signal.setitimer(signal.ITIMER_REAL, left_s)
            return Overrun()

        def begin() -> None:
            self.stops = []
            self._arm(at_bound if left_s else at_limit, first_s, limit_s + HARD_GRACE_S)
            self._in_task = True
            if self.lost:
                raise LeaseLost

        return _Bounds(begin, self._disarm)

    def aftermath(self, seconds: float = AFTERMATH_S) -> _Bounds:
        """Deal in the block with what a task left, for at most ``seconds``.

        Raises TimeLimitExceeded from inside it, again and again until it has an end. The process is killed when it has
        none AFTERMATH_GRACE_S later.
        """
        def stop() -> BaseException:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
            return TimeLimitExceeded(f"took longer than {seconds:g} s after its task had ended")

        return _Bounds(lambda: self._arm(stop, seconds, seconds + AFTERMATH_GRACE_S), self._disarm)

    def _arm(self, stop: Callable[[], BaseException], after_s: float, kill_after_s: float) -> None:
        signal.signal(signal.SIGALRM, self._on_time)  # a task may have put its own in its place
        signal.signal(signal.SIGUSR1, self._on_lost)
        self._kill_at = time.monotonic() + kill_after_s
        self._next_stop = stop
        signal.setitimer(signal.ITIMER_REAL, after_s)

    def _disarm(self) -> None:
        self._in_task, self._next_stop = False, None
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._kill_at = time.monotonic() + BETWEEN_S

    def _keep(self) -> None:
        beat = min(self._every_s / 2, AFTERMATH_GRACE_S / 2)
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

    def _on_lost(self, _: int, frame: FrameType | None) -> None:
        if self._in_task and not _is_over(frame):
            raise LeaseLost

    def _on_time(self, _: int, frame: FrameType | None) -> None:
        if self._next_stop is None or _is_over(frame):
            return
        stop = self._next_stop()
        self.stops.append(stop)
        raise stop


class _Bounds:
    """A block with limits. No code of a task's runs between its end and the end of the limits."""

    def __init__(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._begin, self._end = begin, end

    def __enter__(self) -> None:
        try:
            self._begin()
        except BaseException:
            self._end()
            raise

    def __exit__(self, *_: object) -> None:
        self._end()


_ENDS = (_Bounds.__exit__.__code__, Lease._disarm.__code__)


def _is_over(frame: FrameType | None) -> bool:
    """Whether a signal has come too late, on the way out of a block with limits."""
    return frame is not None and frame.f_code in _ENDS
