"""A whole system made of forks of the test's own process: dispatchers, workers and web processes, some of them armed.

A fork costs milliseconds where a start costs a second, and the system needs to be made anew for every failpoint, way
and database.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask
from redis import Redis
from sqlalchemy import select

from jobsched import tasks as registry
from jobsched.base import failpoints, processes
from jobsched.base.connections import connect
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.dispatch import dispatcher, repair
from jobsched.domain import TERMINAL
from jobsched.ledger.database import reading
from jobsched.ledger.models import Job, db
from jobsched.staffing import plan
from jobsched.work import runner, worker
from tests.failpoints import tasks
from tests.promise import audit
from tests.promise.fixtures import ENVIRONMENT
from tests.promise.rest import strays, wrong_facts
from tests.promise.stage import Stage
from tests.support import eventually

#: How long a killed sweeper keeps the others out, in seconds; 3 s in earnest.
LOCK_S = 0.3


@dataclass
class System:
    """What a scenario plays with. Everything that is not armed does its work as ever."""

    settings: Settings
    web: Flask
    board: Board
    redis: Redis
    directory: Path
    #: NAME=WAY@MARKER, as JOBSCHED_FAILPOINTS takes it.
    spec: str
    #: How a job is to end, where it is not to be completed; None: it is to be gone.
    ends: dict[int, str | None] = field(default_factory=dict)
    children: list[int] = field(default_factory=list)

    @property
    def way(self) -> str:
        return self.spec.partition("=")[2].partition("@")[0]

    @property
    def marker(self) -> Path:
        return Path(self.spec.partition("@")[2])

    @property
    def fired(self) -> bool:
        return self.marker.exists()

    # Its processes

    def fork(self, life: Callable[[], object], *, armed: bool = False) -> int:
        """A process that lives ``life``, ends with it, and never outlives the test."""
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self.children.append(pid)
            return pid
        code = 1
        try:
            processes.die_with_parent(parent)
            self._leave_pytest()
            failpoints.arm(self.spec if armed else "")
            life()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def dispatcher(self, *, armed: bool = False) -> int:
        return self.fork(lambda: dispatcher.main(self.settings), armed=armed)

    def worker(self, *, armed: bool = False, lacks: str | None = None) -> int:
        return self.fork(lambda: self._work(lacks), armed=armed)

    def end(self) -> None:
        """Kill what is left of the processes."""
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)
        for pid in self.children:
            os.waitpid(pid, 0)
        self.children.clear()

    def ended(self, pid: int) -> int:
        """Wait for the end of one process; its exit code, negative for a signal."""
        eventually(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT), every_s=0.002)
        self.children.remove(pid)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    # What clients do

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request to the web, first to an armed process of it, then to others until one succeeds; the JSON."""
        headers = {"Idempotency-Key": "one wish"} if method == "POST" else {}
        answer = self.directory / "answer"

        def once() -> None:
            response = self.web.test_client().open(path, method=method, json=body, headers=headers)
            if response.status_code < 300:
                answer.write_bytes(response.data)

        ended = self.ended(self.fork(once, armed=True))
        assert ended == (-signal.SIGKILL if self.way == "die" else 0), (self.directory / "log").read_text()
        if not answer.exists():  # the client was told nothing, or that it failed, and asks again
            response = self.web.test_client().open(path, method=method, json=body, headers=headers)
            gone = method == "DELETE" and response.status_code == 404
            assert response.status_code < 300 or gone, response.text
            answer.write_bytes(b"{}" if gone else response.data)
        return json.loads(answer.read_bytes() or b"null")

    # What there is

    def sweeper(self) -> repair.Sweeper:
        return repair.Sweeper(self.settings, self.board, self.redis)

    def dispatch(self) -> int:
        """Fill the lanes' queues once, in the test's own process."""
        return dispatcher.Dispatcher(self.settings, self.board, self.redis).dispatch()

    def statuses(self) -> dict[int, str]:
        with reading() as session:
            return {row.id: row.status for row in session.execute(select(Job.id, Job.status))}

    def unrest(self) -> list[str]:
        """What is not done yet, or stands on the board without a reason."""
        open_ = [f"job {job} is {status}" for job, status in self.statuses().items() if status not in TERMINAL]
        return open_ + strays(self.redis) or wrong_facts(self.redis)

    def faults(self) -> list[str]:
        """How the promise is broken, in a system that has come to rest."""
        statuses = self.statuses()
        expected = {job: status for job, status in {**dict.fromkeys(statuses, "completed"), **self.ends}.items()
                    if status is not None}
        found = [] if statuses == expected else [f"jobs are {statuses}, not {expected}"]
        found += strays(self.redis) + wrong_facts(self.redis)
        with db.engine.connect() as connection:
            account = audit.steps(connection)
        found += audit.faults(account)
        found += [f"start {start} of job {job} ran {n} times" for (job, start), n in self.starts().items() if n > 1]
        with reading() as session:
            for job in session.scalars(select(Job)):
                if job.attempt > job.max_attempts:
                    found.append(f"job {job.id} started {job.attempt} times, not at most {job.max_attempts}")
                if job.status == "completed" and job.result not in (None, f"{job.id}-{job.attempt}"):
                    found.append(f"job {job.id} has the result of another start: {job.result}")
        return found

    def starts(self) -> Counter[tuple[int, int]]:
        """How often each start of each job ran its task."""
        book = self.directory / "book"
        lines = book.read_text().splitlines() if book.exists() else []
        return Counter((int(job), int(attempt)) for job, attempt in (line.split() for line in lines))

    def _work(self, lacks: str | None = None) -> None:
        """Work as a worker, whose code has no task of the name ``lacks``."""
        runner.runtime.cache_clear()
        registry._tasks.pop(lacks or "", None)
        slot = plan.slots(1, self.settings.bands)[0]
        name = f"worker-{os.getpid()}"
        worker.LaneWorker(slot, connection=connect(self.settings.redis_url), name=name).work(logging_level="WARNING")

    def _leave_pytest(self) -> None:
        """Write to a log of our own, and see the system's environment."""
        log = (self.directory / "log").open("a", buffering=1)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.stdout = sys.stderr = log
        logging.basicConfig(stream=log, format=f"{os.getpid()} %(name)s %(message)s", force=True)
        settings = self.settings
        os.environ.update(ENVIRONMENT, REDIS_URL=settings.redis_url, DATABASE_URL=settings.database_url,
                          JOBSCHED_HOME=str(settings.home), SECRET_KEY=settings.secret_key)
        repair.LOCK_S = LOCK_S
        os.environ[tasks.BOOK] = str(self.directory / "book")


@contextmanager
def system(stage: Stage, web: Flask, spec: str, directory: Path) -> Iterator[System]:
    """A system at its start: sites, users, a board with its rules, no job, no process."""
    redis = connect(stage.settings.redis_url)
    redis.flushall()
    stage.clear()
    ours = System(stage.settings, web, Board(redis), redis, directory, spec)
    with stage.app.app_context():
        ours.sweeper().adopt_settings()
        try:
            yield ours
        finally:
            ours.end()
            redis.close()


def go_on(ours: System, deadline_s: float = 20.0) -> list[str]:
    """Let the rest of the system work until all is at rest; returns how the promise is broken."""
    ours.dispatcher()
    ours.worker()
    give_up = time.monotonic() + deadline_s
    while left := ours.unrest():
        if time.monotonic() > give_up:
            return [f"not at rest after {deadline_s:g} s", *left]
        time.sleep(0.01)
    return ours.faults()
