"""RQ's workers, one process for each slot of the plan."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Container, Sequence
from contextlib import suppress
from typing import Any

import psutil
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker, worker_registration
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE, Execution
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer
from rq.utils import as_text, parse_composite_key

from jobsched import lanes, plan, processes, runner
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.connections import connect
from jobsched.domain import BoardLost
from jobsched.loop import stop_signals

log = logging.getLogger(__name__)

#: An idle worker shows itself this often (RQ waits for work for its ttl less 15 s), a busy one as often, in seconds.
HEARTBEAT_S = 5
#: It counts as alive for this long after it showed itself.
ALIVE_S = 3.0 * HEARTBEAT_S
#: A worker shows itself no more often than this, however many slices it runs, in seconds.
LEAST_BEAT_S = 1.0
#: The pause before a dead worker is replaced, in seconds; it doubles while they die young.
FIRST_PAUSE_S = 0.2
MOST_PAUSE_S = 5.0
#: One that lived this long was healthy.
HEALTHY_S = 30.0

#: A horse whose slice is out of flight at this many heartbeats in a row is killed.
MOST_MISSING = 3

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

#: How soon after a worker's death the kernel has handed us the processes that it leaves.
ORPHANS_ARRIVE_S = 3.0


class LaneWorker(Worker):
    """An RQ worker on the lanes of a slot, in the order of its turns."""

    def __init__(self, slot: plan.Slot, *, connection: Redis, name: str) -> None:
        names = [lanes.WAKE_QUEUE, *(band.queue for band in (*slot.own, *slot.helps))]
        super().__init__(
            [lanes.queue(connection, queue) for queue in names], name=name, connection=connection,
            job_class=lanes.SliceJob, serializer=JSONSerializer, worker_ttl=HEARTBEAT_S + 15,
            job_monitoring_interval=HEARTBEAT_S, log_job_description=False,
        )
        self._turns = plan.Turns(slot)
        self._lanes = {band.name: lanes.queue(connection, band.queue) for band in (*slot.own, *slot.helps)}
        self._bands = {lane.name: band for band, lane in self._lanes.items()}
        self._board = Board(connection)
        self._pid = os.getpid()
        self._missing = 0
        self._shown_at = float("-inf")

    def reorder_queues(self, reference_queue: Queue) -> None:
        """Nothing yet: what the slice used is known when it has ended."""

    def served(self, queue: Queue, seconds: float) -> None:
        """Charge a lane with our time, and look at the lanes in the order that follows."""
        if queue.name in self._bands:
            self._turns.served(self._bands[queue.name], seconds)
            wake = self._ordered_queues[0]
            self._ordered_queues = [wake, *(self._lanes[band] for band in self._turns.order)]

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Besides, show ourselves on the board, and register again where Redis has forgotten us (FLUSHALL)."""
        super().heartbeat(timeout, pipeline)
        if time.monotonic() - self._shown_at < LEAST_BEAT_S:
            return
        self._shown_at = time.monotonic()
        self._board.beat("worker", self.name, ALIVE_S)
        if not self.connection.sismember(self.redis_workers_keys, self.key) and self.birth_date:
            self.connection.hset(self.key, mapping=self.serialize())
            worker_registration.register(self)

    def register_death(self) -> None:
        super().register_death()  # type: ignore[no-untyped-call]
        self._board.rest("worker", self.name)

    def execute_job(self, job: RQJob, queue: Queue) -> None:
        self._missing = 0
        began = time.monotonic()
        super().execute_job(job, queue)
        self.served(queue, time.monotonic() - began)

    def maintain_heartbeats(self, job: RQJob, execution: Execution) -> None:
        """Besides, kill a horse whose slice is not in flight any more: it is too stuck to notice by itself."""
        try:
            super().maintain_heartbeats(job, execution)
            holds = job.func_name != lanes.RUN_SLICE or self._board.holds(job.id)
        except RedisError as error:  # to end with it would take down the horse, which can do without Redis
            log.warning("no heartbeat: %s", error)
            return
        self._missing = 0 if holds else self._missing + 1
        if self._missing >= MOST_MISSING:
            log.error("slice %s was taken back, and its process goes on: killing it", job.id)
            self.kill_horse()

    def handle_work_horse_killed(self, job: RQJob, *_: Any) -> None:
        """What a killed horse has started dies with it, and its lease ends now: the next sweep gives its jobs back."""
        processes.kill(processes.descendants())
        processes.reap()
        with suppress(RedisError, BoardLost):  # then the lease runs out by itself
            self._board.renew(job.id, 0.0, started=False)

    def main_work_horse(self, job: RQJob, queue: Queue) -> None:
        processes.die_with_parent(self._pid)
        super().main_work_horse(job, queue)


def main(settings: Settings) -> None:
    """Run one worker process for each slot, and replace those that die, until SIGTERM or SIGINT.

    Then every worker finishes the slice in its hands before it ends.
    """
    runner.runtime()  # imported and made once, shared by every fork
    runner.warm_up()
    processes.adopt_orphans()
    slots = plan.slots(settings.workers, settings.bands)
    redis = connect(settings.redis_url, patient=False)
    with stop_signals() as stop:
        crew = [_Seat(slot, number, settings) for number, slot in enumerate(slots)]
        while not stop.is_set():
            died = [name for name in [seat.fill() for seat in crew] if name]
            if any(seat.just_emptied() for seat in crew):
                kill_strays({seat.pid for seat in crew})
            end_leases(redis, died)
            stop.wait(0.1)
        for seat in crew:
            seat.dismiss()
        for seat in crew:
            seat.wait()


def end_leases(redis: Redis, died: Sequence[str]) -> None:
    """End the leases of what workers that died, by name, had in their hands: nobody else would before they run out."""
    board = Board(redis)
    for name in died:
        with suppress(RedisError, BoardLost):  # then they run out by themselves
            for execution in redis.smembers(WORKER_EXECUTIONS_KEY_TEMPLATE.format(name)):
                slice_id, _ = parse_composite_key(as_text(execution))
                board.renew(slice_id, 0.0, started=False)


def kill_strays(ours: Container[int | None]) -> None:
    """Kill what a dead worker has left behind: our children that are none of ``ours``, with all below them."""
    for stray in psutil.Process().children():
        if stray.pid not in ours:
            with suppress(psutil.Error):
                processes.kill([*stray.children(recursive=True), stray])
            with suppress(ChildProcessError):
                os.waitpid(stray.pid, 0)


class _Seat:
    """The place of one worker process: filled again, after a pause, when its worker dies."""

    def __init__(self, slot: plan.Slot, number: int, settings: Settings) -> None:
        self._slot, self._number, self._settings = slot, number, settings
        self.pid: int | None = None
        self._emptied_at = float("-inf")
        self._since = 0.0
        self._pause = 0.0
        self._not_before = 0.0

    def fill(self) -> str | None:
        """Fork a worker into the seat when it is empty and its pause is over; returns the name of one that died."""
        if self.pid is not None:
            name = _name(self.pid, self._number)
            return name if self._ended(os.WNOHANG) else None
        if time.monotonic() >= self._not_before:
            self._since = time.monotonic()
            parent = os.getpid()
            # Held back, a signal that comes before the child has handlers of its own does not end in ours, unheard.
            signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
            self.pid = os.fork()
            if self.pid == 0:
                _work(parent, self._slot, self._number, self._settings)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        return None

    def just_emptied(self) -> bool:
        """Whether the seat's worker has died lately, so that its orphans may still arrive."""
        return time.monotonic() - self._emptied_at < ORPHANS_ARRIVE_S

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
        healthy = time.monotonic() - self._since >= HEALTHY_S
        self._pause = FIRST_PAUSE_S if healthy else min(MOST_PAUSE_S, max(FIRST_PAUSE_S, 2 * self._pause))
        self._not_before = time.monotonic() + self._pause
        self.pid = None
        self._emptied_at = time.monotonic()
        if how == os.WNOHANG:
            log.warning("worker %d died (status %d)", self._number, status)
        return True


def _name(pid: int, number: int) -> str:
    return f"{socket.gethostname()}-{pid}-{number}"


def _work(parent: int, slot: plan.Slot, number: int, settings: Settings) -> None:
    """The life of one worker process; does not return."""
    try:
        for which in STOP_SIGNALS:
            signal.signal(which, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        processes.die_with_parent(parent)
        processes.adopt_orphans()
        name = _name(os.getpid(), number)
        LaneWorker(slot, connection=connect(settings.redis_url), name=name).work(logging_level="WARNING")
    except Exception as error:
        log.error("worker %d: %s: %s", number, type(error).__name__, error)
        os._exit(1)
    finally:
        os._exit(0)
