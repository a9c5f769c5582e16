"""The process in which the tasks of a slice run: a fork of the worker, which watches it.

User code never runs in the worker itself. A task can leave behind, break or kill only this process, and the next one is
forked from a clean worker.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import traceback
import warnings
from collections.abc import Callable, Collection
from threading import Lock
from time import monotonic, sleep
from typing import Any, NoReturn

from jobsched.base import output, processes
from jobsched.work import forks
from jobsched.work.lease import QUIET
from jobsched.work.limits import HARD_GRACE_S

log = logging.getLogger(__name__)

#: The exit status of a task process that failed by a fault of ours.
BROKEN = 70
#: How often one that can not be waited for by its descriptor is looked at, in seconds.
_LOOK_S = 0.005
#: A fork waits no longer than this for our threads to be quiet, in seconds.
_QUIET_S = 2.0


class TaskProcess:
    """A fork in which ``life`` runs. Made and waited for on the main thread.

    ``is_late`` says at a moment of time.monotonic() whether it is to be killed; ``note_lost`` has it believe that the
    slice was lost, of which a signal tells it then.
    """

    def __init__(
        self, life: Callable[[], None], is_late: Callable[[float], bool], note_lost: Callable[[], None]
    ) -> None:
        #: Whether it did not end in its time, and was killed for that.
        self.killed = False
        #: Its exit code, or the negative number of the signal that ended it; None while it lives.
        self.status: int | None = None
        self._is_late, self._note_lost = is_late, note_lost
        self._lock = Lock()
        self._told_at: float | None = None
        processes.adopt_orphans()
        self._spared = processes.children()
        self.pid = _fork(life)
        self._descriptor = _descriptor(self.pid)

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end, for so long; whether it has ended. What it has started has ended with it then."""
        if self._descriptor is None:
            give_up = monotonic() + timeout_s
            while not self._reaped() and monotonic() < give_up:
                sleep(_LOOK_S)
        else:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            poll.poll(timeout_s * 1000)
            self._reaped()
        if self.status is not None:
            self._clear()
        return self.status is not None

    def watch(self, *, lost: bool) -> None:
        """Tell it to stop when its slice was ``lost``, and kill it where it does not stop. From any thread."""
        with self._lock:
            if self.status is not None:
                return
            now = monotonic()
            if lost and self._told_at is None:
                self._told_at = now
                self._note_lost()
                os.kill(self.pid, signal.SIGUSR1)
            deaf = self._told_at is not None and now >= self._told_at + HARD_GRACE_S
            if not self.killed and (deaf or self._is_late(now)):
                log.error("a task did not stop: killing its process")
                self.killed = True
                processes.kill_tree(self.pid)  # the main thread, which looks after the rest, may wait for a database

    def end(self) -> None:
        """Kill it, if it lives, and all that it has started."""
        with self._lock:
            if self.status is None:
                os.kill(self.pid, signal.SIGKILL)
        while not self.wait(1.0):
            pass

    def _reaped(self) -> bool:
        with self._lock:
            if self.status is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.status = os.waitstatus_to_exitcode(status)
            return self.status is not None

    def _clear(self) -> None:
        """End what it has left: its children became ours when it ended."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        processes.end_children(self._spared)


def _fork(life: Callable[[], None]) -> int:
    parent = os.getpid()
    output.flush()  # what is held would come twice
    # Held back until it has handlers of its own, no signal can end in the worker's, which mean the worker.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    quiet = QUIET.acquire(timeout=_QUIET_S)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, which QUIET holds still
            pid = os.fork()
        if pid == 0:
            _live(parent, life, before)
        return pid
    finally:
        if quiet:
            QUIET.release()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _live(parent: int, life: Callable[[], None], mask: Collection[Any]) -> NoReturn:
    status = BROKEN
    try:
        processes.die_with_parent(parent)
        processes.adopt_orphans()
        os.setpgrp()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the worker, which lets the slice end
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        life()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        forks.exit_now(status)


def _descriptor(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, or an old one
        return None
