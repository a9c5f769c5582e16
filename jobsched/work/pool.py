"""The worker processes of a host: one for each slot of the plan, restarted when it dies."""

from __future__ import annotations

import ctypes
import logging
import mmap
import os
import signal
import time
from collections.abc import Container, Sequence
from contextlib import suppress

import psutil
from redis import Redis
from redis.exceptions import RedisError

from jobsched.base import bugs, identity, processes
from jobsched.base.connections import connect
from jobsched.base.loop import stop_signals
from jobsched.base.restarts import Restarts
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.domain import BoardLost
from jobsched.queues import registered_workers
from jobsched.queues.key_watch import KeyWatch
from jobsched.staffing import plan
from jobsched.staffing.replan import PATIENCE_S, Planner
from jobsched.work import runner
from jobsched.work.worker import LaneWorker

log = logging.getLogger(__name__)

#: How soon after a worker's death the kernel has handed us the processes that it leaves.
ORPHANS_ARRIVE_S = 3.0

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Run one worker process for each slot of the plan, and replace those that die, until SIGTERM or SIGINT.

    When the mix of what comes shifts, they are handed the slots of another plan, and change between two slices. In the
    end every worker finishes the slice in its hands. Raises ConfigError.
    """
    settings = runner.runtime().settings  # imported and made once, shared by every fork
    runner.warm_up()
    processes.adopt_orphans()
    planner = Planner(settings)
    redis = connect(settings.redis_url, patient=False)
    keys = KeyWatch(Board(connect(settings.redis_url, timeout_s=PATIENCE_S)), identity.process_name())
    with stop_signals() as stop:
        seats = [Seat(slot, number, settings) for number, slot in enumerate(planner.slots)]
        while not stop.is_set():
            died = [name for name in [seat.fill() for seat in seats] if name]
            if any(seat.just_emptied() for seat in seats):
                kill_strays({seat.pid for seat in seats})
            if died:
                end_leases(redis, died)
            keys.look()
            if planner.changed():
                for seat, slot in zip(seats, planner.slots, strict=True):
                    seat.assign(slot)
            stop.wait(0.1)
        for seat in seats:
            seat.dismiss()
        for seat in seats:
            seat.wait()


def end_leases(redis: Redis, died: Sequence[str]) -> None:
    """End the leases of what workers that died, by name, had in their hands: nobody else would before they run out."""
    board = Board(redis)
    for name in died:
        try:
            for slice_id in registered_workers.slices_of(redis, name):
                board.renew(slice_id, 0.0, started=False)
        except (RedisError, BoardLost) as error:  # then they run out by themselves
            bugs.log_once(log, "end the leases of a worker that died", error)


def kill_strays(ours: Container[int | None]) -> None:
    """Kill what a dead worker has left behind: our children that are none of ``ours``, with all below them."""
    for stray in psutil.Process().children():
        if stray.pid not in ours:
            with suppress(psutil.Error):
                processes.kill([*stray.children(recursive=True), stray])
            with suppress(ChildProcessError):
                os.waitpid(stray.pid, 0)


class Seat:
    """The place of one worker process: filled again, after a pause, when its worker dies."""

    def __init__(self, slot: plan.Slot, number: int, settings: Settings) -> None:
        self.number, self.settings = number, settings
        self._slots = plan.every(settings.bands)
        # Shared with the worker that is forked: one number, which is written and read at once.
        self._assigned = ctypes.c_uint32.from_buffer(mmap.mmap(-1, mmap.PAGESIZE))
        self.assign(slot)
        self.pid: int | None = None
        self._token = ""
        self._restarts = Restarts()

    def assign(self, slot: plan.Slot) -> None:
        """Have the worker serve this slot from its next slice on."""
        self._assigned.value = self._slots.index(slot)

    def assigned(self) -> plan.Slot:
        """The slot that the worker should serve; known in its process, too."""
        return self._slots[self._assigned.value]

    def fill(self) -> str | None:
        """Fork a worker into the seat when it is empty and its pause is over; returns the name of one that died."""
        if self.pid is not None:
            name = self.name(self.pid)
            return name if self._ended(os.WNOHANG) else None
        if time.monotonic() >= self._restarts.due_at:
            self._restarts.start(time.monotonic())
            parent, self._token = os.getpid(), identity.token()
            # Held back, a signal that comes before the child has handlers of its own does not end in ours, unheard.
            signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
            self.pid = os.fork()
            if self.pid == 0:
                _work(parent, self)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        return None

    def name(self, pid: int) -> str:
        """What the worker process that was forked last into the seat is called; both sides of the fork know it."""
        return f"{identity.process_name(pid=pid, random=self._token)}-{self.number}"

    def just_emptied(self) -> bool:
        """Whether the seat's worker has died lately, so that its orphans may still arrive."""
        return time.monotonic() - self._restarts.ended_at < ORPHANS_ARRIVE_S

    def dismiss(self) -> None:
        """Ask the worker to end when its slice is done."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGTERM)

    def wait(self) -> None:
        """Wait until the worker has ended."""
        if self.pid is not None:
            self._ended(0)

    def _ended(self, how: int) -> bool:
        assert self.pid is not None
        pid, status = os.waitpid(self.pid, how)
        if pid == 0:
            return False
        self._restarts.end(time.monotonic())
        self.pid = None
        if how == os.WNOHANG:
            log.warning("worker %d died (status %d)", self.number, status)
        return True


def _work(parent: int, seat: Seat) -> None:
    """The life of one worker process; does not return."""
    try:
        for which in STOP_SIGNALS:
            signal.signal(which, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        processes.die_with_parent(parent)
        processes.adopt_orphans()
        worker = LaneWorker(seat.assigned(), connection=connect(seat.settings.redis_url), name=seat.name(os.getpid()),
                            assigned=seat.assigned)
        worker.work(logging_level="WARNING")
    except Exception as error:
        log.error("worker %d: %s", seat.number, bugs.one_line(error))
        bugs.log_once(log, "be a worker", error)
        os._exit(1)
    finally:
        os._exit(0)
