"""Bare RQ with its own best settings: the processes of the control, `python -m tests.chaos.bare_rq [worker]`.

One queue, since a worker on one queue pops through an intermediate list, which saves a job whose worker dies in
between; a scheduler in each worker, of which one leads; every interval after which something abandoned is noticed
lowered as far as it goes.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from rq import Queue, Retry, Worker, get_current_job

from jobsched.base.connections import connect
from jobsched.host.supervise import Program, Supervisor
from tests.chaos import tasks

QUEUE = "jobs"
WORKERS = 4
#: RQ starts a job again so many times after its first start.
RETRIES = 3
#: Results and failures are kept longer than any run lasts, in seconds.
KEEP_S = 86_400


def queue(url: str) -> Queue:
    """The control's queue, in the Redis at ``url``."""
    return Queue(QUEUE, connection=connect(url))


def options(key: str) -> dict[str, Any]:
    """How a job is enqueued so that it can be enqueued again: a second one of the same key is refused."""
    return {"job_id": key, "unique": True, "retry": Retry(max=RETRIES), "result_ttl": KEEP_S, "failure_ttl": KEEP_S}


def task(payload: dict[str, Any]) -> dict[str, Any]:
    """The load's task, by RQ's own count of attempts."""
    job = get_current_job()
    assert job is not None
    left = RETRIES if job.retries_left is None else job.retries_left
    return tasks.work(payload, job.id, 1 + RETRIES - left)


def work() -> None:
    """One worker, until SIGTERM."""
    connection = connect(os.environ["REDIS_URL"])
    worker = Worker([QUEUE], connection=connection, worker_ttl=20, job_monitoring_interval=1, maintenance_interval=1,
                    log_job_description=False)
    worker.work(with_scheduler=True, logging_level="WARNING")


def main() -> None:
    """All workers, each restarted when it ends, until SIGTERM."""
    with Supervisor(dict(os.environ), lambda name, line: print(name, "|", line, flush=True)) as supervisor:
        for number in range(WORKERS):
            supervisor.start(Program(f"worker-{number}", (sys.executable, "-m", "tests.chaos.bare_rq", "worker")))
        while not supervisor.stopping:
            supervisor.tick(1.0)


if __name__ == "__main__":
    work() if sys.argv[1:] == ["worker"] else main()
