"""An RQ worker that takes no commands from Redis, and survives anything that Redis holds."""

from __future__ import annotations

import logging

from rq import Queue, worker_registration
from rq.exceptions import StopRequested
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.utils import current_timestamp

from jobsched.base import aside, redis_errors
from jobsched.queues import hygiene
from jobsched.queues.patient_worker import PatientWorker, if_redis_serves

log = logging.getLogger(__name__)


class GuardedWorker(PatientWorker):
    """Its queues are LaneQueues. Groups, dependents and limits of a rate are not used, and not tidied up."""

    def subscribe(self) -> None:
        """No: whoever can publish could have the worker shut down, or kill what it runs. A worker takes signals."""

    def kept_in_order(self) -> list[str]:
        """The names of the queues whose keys the worker keeps in order."""
        return list(self.queue_names())

    def run_maintenance_tasks(self) -> None:
        """RQ's tidying up of what has ended, which goes on whatever it finds."""
        try:
            with if_redis_serves("tidy RQ's registries up"):
                hygiene.mend(self.connection, self.kept_in_order())
                self.clean_registries()
        except StopRequested:  # a signal came meanwhile
            raise
        except Exception as error:
            log.warning("could not tidy up: %s: %s", type(error).__name__, error)

    def clean_registries(self) -> None:
        """One worker at a time for each queue."""
        for queue in self.queues:
            if queue.acquire_maintenance_lock():
                for registry in (StartedJobRegistry, FinishedJobRegistry, FailedJobRegistry):
                    self._clean(queue, registry(queue=queue, job_class=self.job_class))
                worker_registration.clean_worker_registry(queue)
                queue.release_maintenance_lock()  # type: ignore[no-untyped-call]

    def _clean(self, queue: Queue, registry: StartedJobRegistry | FinishedJobRegistry | FailedJobRegistry) -> None:
        try:
            registry.cleanup()
        except Exception as error:
            if redis_errors.is_trouble(error) or isinstance(error, StopRequested):
                raise
            # A job that can not be read: what has run out goes unread.
            removed = self.connection.zremrangebyscore(registry.key, "-inf", current_timestamp())
            aside.counted(self.connection, "registry that can not be tidied up",
                          f"{registry.key}: {removed} removed: {type(error).__name__}: {error}")
