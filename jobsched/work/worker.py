"""An RQ worker that serves the lanes of its slot."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Thread
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, worker_registration
from rq.executions import Execution
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from jobsched import tasks
from jobsched.base import identity, redis_errors
from jobsched.board import Board, code_of
from jobsched.domain import BoardLost
from jobsched.queues import lanes
from jobsched.queues.guarded_worker import GuardedWorker
from jobsched.queues.patient_worker import if_redis_serves
from jobsched.staffing import plan
from jobsched.work.lease import QUIET

log = logging.getLogger(__name__)

#: An idle worker shows itself this often (RQ waits for work for its ttl less 15 s), a busy one as often, in seconds.
HEARTBEAT_S = 5
#: It counts as alive for this long after it showed itself.
ALIVE_S = 3.0 * HEARTBEAT_S
#: A worker shows itself no more often than this, however many slices it runs, in seconds.
LEAST_BEAT_S = 1.0
#: How much longer than that RQ waits for the next heartbeat of a slice, in seconds.
RQ_PATIENCE_S = 60


class LaneWorker(GuardedWorker):
    """An RQ worker on the lanes of a slot, in the order of its turns.

    It does not fork for what it takes from a queue: :mod:`jobsched.work.runner` forks, for the tasks of a slice alone.

    ``assigned`` says which slot it should have by now; it changes to that one between two slices, or within HEARTBEAT_S
    when it has nothing to do.
    """

    def __init__(self, slot: plan.Slot, *, connection: Redis, name: str,
                 assigned: Callable[[], plan.Slot] | None = None) -> None:
        super().__init__(
            [lanes.queue(connection, queue) for queue in _queues(slot)], name=name, connection=connection,
            job_class=lanes.SliceJob, queue_class=lanes.LaneQueue, serializer=JSONSerializer,
            worker_ttl=HEARTBEAT_S + 15, job_monitoring_interval=HEARTBEAT_S, log_job_description=False,
        )
        self.hostname = identity.host()  # what RQ takes may hold what no Redis string can
        self._tasks = tasks.names()
        self._code = code_of(self._tasks)
        self._assigned = assigned or (lambda: slot)
        self._serve(slot)
        self._in_hand = self._waits = False
        self._board = Board(connection)
        self._execution: tuple[RQJob, Execution] | None = None
        self._shown_at = float("-inf")

    def _serve(self, slot: plan.Slot) -> None:
        self._slot, self._turns = slot, plan.Turns(slot)
        self._lanes = {band.name: lanes.queue(self.connection, band.queue) for band in (*slot.own, *slot.helps)}
        self.queues = [lanes.queue(self.connection, lanes.WAKE_QUEUE), *self._lanes.values()]
        # What is for those alone who know its task comes before what anybody may take, and is not shown as a lane.
        self._sides = {band.name: lanes.queue(self.connection, lanes.side_queue(band, self._code))
                       for band in (*slot.own, *slot.helps)}
        self._order(self._lanes)

    def kept_in_order(self) -> list[str]:
        return [*self.queue_names(), *(queue.name for queue in self._sides.values())]

    def _change_slot(self, slot: plan.Slot) -> None:
        """Serve the lanes of another slot from the next pop on. What is in RQ's queues is for whoever listens."""
        gone, new = set(self.queue_names()) - set(_queues(slot)), _queues(slot)
        with self.connection.pipeline(transaction=True) as pipe:
            for name in gone:
                pipe.srem(WORKERS_BY_QUEUE_KEY % name, self.key)
            for name in new:
                pipe.sadd(WORKERS_BY_QUEUE_KEY % name, self.key)
            pipe.hset(self.key, "queues", ",".join(new))
            pipe.execute()
        self._serve(slot)

    def dequeue_job_and_maintain_ttl(self, *args: Any, **kwargs: Any) -> Any:
        self._waits = True
        try:
            return super().dequeue_job_and_maintain_ttl(*args, **kwargs)
        finally:
            self._waits = False

    def reorder_queues(self, reference_queue: Queue) -> None:
        """Nothing yet, but that a slice was popped: see ``look``, when it has ended."""
        self._in_hand = True

    def look(self) -> None:
        """Look at the lanes from now on in the order in which their sites have had their share."""
        with suppress(RedisError, BoardLost):  # then the order stays as it is
            self._turns.look(self._board.view.lanes())
            self._order(self._turns.order)

    def _order(self, bands: Iterable[str]) -> None:
        both = (queue for band in bands for queue in (self._sides[band], self._lanes[band]))
        self._ordered_queues = [self.queues[0], *both]

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Besides, change to the slot that we should have, show ourselves on the board, and register again where
        Redis has forgotten us (FLUSHALL). A worker that does not wait for work goes on where Redis does not serve.
        """
        if not self._waits and pipeline is None:
            with if_redis_serves("show itself"):
                self._show(timeout, pipeline)
        else:
            self._show(timeout, pipeline)

    def _show(self, timeout: int | None, pipeline: Any) -> None:
        if not self._in_hand and self._assigned() != self._slot:
            self._change_slot(self._assigned())
        super().heartbeat(timeout, pipeline)
        if time.monotonic() - self._shown_at < LEAST_BEAT_S:
            return
        self._shown_at = time.monotonic()
        self._board.presence.beat("worker", self.name, ALIVE_S)
        self._board.codes.beat(self.name, self._lanes, self._tasks, ALIVE_S)
        if not self.connection.sismember(self.redis_workers_keys, self.key) and self.birth_date:
            self.connection.hset(self.key, mapping=self.serialize())
            worker_registration.register(self)

    def register_death(self) -> None:
        super().register_death()
        with if_redis_serves("say that it ends"):
            self._board.presence.leave("worker", self.name)
            self._board.codes.leave(self.name, self._lanes, self._tasks)

    def work(self, *args: Any, **options: Any) -> bool:
        """As RQ's, with heartbeats from a thread while a slice is in hand: its tasks run in a process of their own."""
        Thread(target=self._beat, name="heartbeat", daemon=True).start()
        return super().work(*args, **options)

    def execute_job(self, job: RQJob, queue: Queue) -> None:
        """Run what was popped in this process, as RQ's SimpleWorker does: :mod:`jobsched.work.runner` forks."""
        self._in_hand = True
        with if_redis_serves("tell RQ of a slice"):  # one that has not begun comes back by its lease
            execution = self.prepare_execution(job)
            self._execution = (job, execution)
            self.perform_job(job, queue, execution)
        self._execution = None
        self.set_state(WorkerStatus.IDLE)
        self.look()
        self._in_hand = False

    def get_heartbeat_ttl(self, job: RQJob, working_time: float = 0.0) -> int:
        """How long RQ takes a slice for one in hand after a heartbeat, in seconds."""
        return HEARTBEAT_S + RQ_PATIENCE_S

    def _beat(self) -> None:
        while True:
            time.sleep(HEARTBEAT_S)
            if (ours := self._execution) is None:
                continue
            try:
                with QUIET:
                    self.maintain_heartbeats(*ours)
            except RedisError as error:  # the slice can do without Redis
                log.warning("no heartbeat: %s", redis_errors.sentence(error))
            except Exception:  # the thread goes on: the next slice needs heartbeats as well
                log.exception("no heartbeat")


def _queues(slot: plan.Slot) -> list[str]:
    return [lanes.WAKE_QUEUE, *(band.queue for band in (*slot.own, *slot.helps))]
