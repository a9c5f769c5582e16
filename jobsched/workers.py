"""RQ's workers, one process for each slot of the plan."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
import time
from typing import Any

from redis import Redis
from rq import Queue, Worker
from rq.executions import Execution
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer

from jobsched import lanes, plan, runner
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.connections import connect
from jobsched.loop import stop_signals

log = logging.getLogger(__name__)

#: An idle worker shows itself this often (RQ waits for work for its ttl less 15 s), a busy one as often, in seconds.
HEARTBEAT_S = 5
#: It counts as alive for this long after it showed itself.
ALIVE_S = 3.0 * HEARTBEAT_S
#: The pause before a dead worker is replaced, in seconds; it doubles while they die young.
FIRST_PAUSE_S = 0.2
MOST_PAUSE_S = 5.0
#: One that lived this long was healthy.
HEALTHY_S = 30.0

#: A horse whose slice is out of flight at this many heartbeats in a row is killed.
MOST_MISSING = 3

_PR_SET_PDEATHSIG = 1


class LaneWorker(Worker):
    """An RQ worker on the lanes of a slot: its own in turn, then, idle, the shorter ones, shortest first."""

    def __init__(self, slot: plan.Slot, *, connection: Redis, name: str) -> None:
        names = [lanes.WAKE_QUEUE, *(band.queue for band in (*slot.own, *slot.helps))]
        super().__init__(
            [lanes.queue(connection, queue) for queue in names], name=name, connection=connection,
            job_class=lanes.SliceJob, serializer=JSONSerializer, worker_ttl=HEARTBEAT_S + 15,
            job_monitoring_interval=HEARTBEAT_S, log_job_description=False,
        )
        self._own = {band.queue for band in slot.own}
        self._board = Board(connection)
        self._missing = 0

    def reorder_queues(self, reference_queue: Queue) -> None:
        """Put the lane that was just served behind the slot's other own lanes."""
        if reference_queue.name not in self._own:
            return
        others = [queue for queue in self._ordered_queues if queue != reference_queue]
        behind = max((i for i, queue in enumerate(others) if queue.name in self._own), default=0) + 1
        self._ordered_queues = [*others[:behind], reference_queue, *others[behind:]]

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        super().heartbeat(timeout, pipeline)
        self._board.beat("worker", self.name, ALIVE_S)

    def execute_job(self, job: RQJob, queue: Queue) -> None:
        self._missing = 0
        super().execute_job(job, queue)

    def maintain_heartbeats(self, job: RQJob, execution: Execution) -> None:
        """Besides, kill a horse whose slice is not in flight any more: it is too stuck to notice by itself."""
        super().maintain_heartbeats(job, execution)
        if job.func_name == lanes.RUN_SLICE:
            self._missing = 0 if self._board.holds(job.id) else self._missing + 1
            if self._missing >= MOST_MISSING:
                log.error("slice %s was taken back, and its process goes on: killing it", job.id)
                self.kill_horse()

    def main_work_horse(self, job: RQJob, queue: Queue) -> None:
        die_with_parent(signal.SIGKILL)
        super().main_work_horse(job, queue)


def die_with_parent(sig: signal.Signals) -> None:
    """Ask the kernel to send this process a signal when its parent ends, however it ends. Linux only; else a no-op."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(sig))
    if os.getppid() != parent:
        os.kill(os.getpid(), sig)


def main(settings: Settings) -> None:
    """Run one worker process for each slot, and replace those that die, until SIGTERM or SIGINT.

    Then every worker finishes the slice in its hands before it ends.
    """
    runner.runtime()  # imported and made once, shared by every fork
    slots = plan.slots(settings.workers, settings.bands)
    with stop_signals() as stop:
        crew = [_Seat(slot, number, settings) for number, slot in enumerate(slots)]
        while not stop.is_set():
            for seat in crew:
                seat.fill()
            stop.wait(0.1)
        for seat in crew:
            seat.dismiss()
        for seat in crew:
            seat.wait()


class _Seat:
    """The place of one worker process: filled again, after a pause, when its worker dies."""

    def __init__(self, slot: plan.Slot, number: int, settings: Settings) -> None:
        self._slot, self._number, self._settings = slot, number, settings
        self._pid: int | None = None
        self._since = 0.0
        self._pause = 0.0
        self._not_before = 0.0

    def fill(self) -> None:
        """Fork a worker into the seat when it is empty and its pause is over."""
        if self._pid is not None and not self._ended(os.WNOHANG):
            return
        if self._pid is None and time.monotonic() >= self._not_before:
            self._since = time.monotonic()
            self._pid = os.fork()
            if self._pid == 0:
                _work(self._slot, self._number, self._settings)

    def dismiss(self) -> None:
        """Ask the worker to end when its slice is done."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGTERM)

    def wait(self) -> None:
        """Wait until the worker has ended."""
        if self._pid is not None:
            self._ended(0)

    def _ended(self, how: int) -> bool:
        assert self._pid is not None
        pid, status = os.waitpid(self._pid, how)
        if pid == 0:
            return False
        healthy = time.monotonic() - self._since >= HEALTHY_S
        self._pause = FIRST_PAUSE_S if healthy else min(MOST_PAUSE_S, max(FIRST_PAUSE_S, 2 * self._pause))
        self._not_before = time.monotonic() + self._pause
        self._pid = None
        log.warning("worker %d ended (status %d)", self._number, status)
        return True


def _work(slot: plan.Slot, number: int, settings: Settings) -> None:
    """The life of one worker process; does not return."""
    try:
        die_with_parent(signal.SIGTERM)
        name = f"{socket.gethostname()}-{os.getpid()}-{number}"
        LaneWorker(slot, connection=connect(settings.redis_url), name=name).work(logging_level="WARNING")
    finally:
        os._exit(0)
