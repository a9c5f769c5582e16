"""Stops a task on its process's main thread: at its limit, at its lane's bound, or when its slice is lost.

If the task does not stop, the worker kills the process from outside, at the time that the process has noted.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from time import monotonic
from types import FrameType

from jobsched.work.notes import Notes

#: A task that does not end when it is told to is killed, with its process, after so many seconds more.
HARD_GRACE_S = 5.0
#: What a task leaves may be code, too: to describe its error, to read its result, to let go of its objects. For that
#: there are so many seconds, and so many more until the process is killed.
AFTERMATH_S, AFTERMATH_GRACE_S = 1.25, 0.5
#: The garbage collector may call such code between two tasks, too. A process that has no task in hand for so many
#: seconds is killed.
BETWEEN_S = 30.0
#: A stop that was swallowed in the aftermath comes again after so many seconds.
_AGAIN_S = 0.05


class LeaseLost(BaseException):
    """The slice was taken back. Not an Exception, so that a task's ``except Exception`` does not swallow it."""


class TimeLimitExceeded(BaseException):
    """A start took too long. Not an Exception, so that a task's ``except Exception`` does not swallow it."""


class Overrun(BaseException):
    """A start outlasted its lane. Not an Exception, so that a task's ``except Exception`` does not swallow it."""


class Limits:
    """Stops the task that runs on this process's main thread. ``notes`` are those of the process.

    A task that goes on for HARD_GRACE_S after its time limit is killed with its process. ``stops`` are what the latest
    task was stopped with, apart from LeaseLost.
    """

    def __init__(self, notes: Notes) -> None:
        self.stops: list[BaseException] = []
        self._notes = notes
        self._lost = self._in_task = False
        self._next_stop: Callable[[], BaseException] | None = None
        self._listen()

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
            if self._lost:
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
        self._listen()  # a task may have put handlers of its own in their place
        self._notes.kill_at = monotonic() + kill_after_s
        self._next_stop = stop
        signal.setitimer(signal.ITIMER_REAL, after_s)

    def _disarm(self) -> None:
        self._in_task, self._next_stop = False, None
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._notes.kill_at = monotonic() + BETWEEN_S

    def _listen(self) -> None:
        signal.signal(signal.SIGALRM, self._on_time)
        signal.signal(signal.SIGUSR1, self._on_lost)

    def _on_lost(self, _: int, frame: FrameType | None) -> None:
        if not self._notes.head.lost:  # it comes from elsewhere, the task itself perhaps
            return
        self._lost = True
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


_ENDS = (_Bounds.__exit__.__code__, Limits._disarm.__code__)


def _is_over(frame: FrameType | None) -> bool:
    """Whether a signal has come too late, on the way out of a block with limits."""
    return frame is not None and frame.f_code in _ENDS
