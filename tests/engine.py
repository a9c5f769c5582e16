"""Helpers of the engine tests: submit and inspect jobs, start and end processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from sqlalchemy import func, select

from jobsched.base.connections import connect
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.domain import Fence, Slice
from jobsched.intake import submit
from jobsched.intake.drafts import JobDraft
from jobsched.ledger.database import reading, writing
from jobsched.ledger.models import Job, Site, UserRecord, db
from jobsched.work import runner
from tests.support import eventually, unheard

ROOT = Path(__file__).parent.parent
TASKS = "tests.engine_tasks"


def people(sites: int = 1) -> None:
    """Committed sites 1 to ``sites``, with one user each, of the same id."""
    with writing() as session:
        for i in range(1, sites + 1):
            session.add(Site(id=i, name=f"site {i}"))
        session.flush()
        for i in range(1, sites + 1):
            session.add(UserRecord(id=i, name=f"user {i}", site_id=i))


def drafts(*jobs: JobDraft) -> dict[str, JobDraft]:
    """Drafts under the pointers of a list."""
    return {f"/{i}": job for i, job in enumerate(jobs)}


def insert(settings: Settings, *jobs: JobDraft) -> list[int]:
    """Commit jobs without telling the board; their ids."""
    with unheard() as session:
        return [job.id for job in submit.insert_jobs(session, Board(connect(settings.redis_url)), drafts(*jobs),
                                                     settings)]


def post(settings: Settings, board: Board, *jobs: JobDraft) -> list[int]:
    """Submit jobs as the web does; their ids."""
    with writing() as session:
        return [job.id for job in submit.insert_jobs(session, board, drafts(*jobs), settings)]


def draft(task: str = "echo", *, site: int = 1, user: int = 1, execution_time: float = 0.001,
          **payload: Any) -> JobDraft:
    """A draft of a job whose payload is what is left of the arguments."""
    return JobDraft(user, site, execution_time, task, payload)


def job(id_: int) -> Job:
    """A job's row, as it is now."""
    with reading() as session:
        return session.get_one(Job, id_)


def statuses() -> dict[str, int]:
    """How many jobs there are, by status."""
    with reading() as session:
        rows = session.execute(select(Job.status, func.count()).group_by(Job.status))
        return dict(tuple(row) for row in rows)


def all_completed(count: int) -> bool:
    return statuses() == {"completed": count}


def starts(book: Path) -> Counter[int]:
    """How often each job was started, from what ``engine_tasks.tally`` wrote."""
    return Counter(int(line.split()[0]) for line in book.read_text().splitlines())


def cut(board: Board, band: str, slices: int = 1, *, lease_s: float = 60.0, budget_s: float = 0.1) -> list[Slice]:
    """Take slices from the board."""
    return board.take(band, slices, budget_s=budget_s, lease_s=lease_s)


def slice_of(jobs: Sequence[int], *, id_: str = "s-1", attempt: int = 0, site: int = 1, band: str = "task_01") -> Slice:
    """A slice that no board knows."""
    return Slice(id_, site, band, 0, 1_700_000_000.0, tuple(Fence(job, attempt) for job in jobs))


def as_arguments(slice_: Slice) -> tuple[Any, ...]:
    """What a slice's RQ job calls runner.run_slice with."""
    fences = [[fence.job, fence.attempt] for fence in slice_.jobs]
    return slice_.id, slice_.site, slice_.band, slice_.points, slice_.dispatched_at, fences


@contextmanager
def runtime() -> Iterator[runner.Runtime]:
    """What a worker holds, by the environment as it is, in the test's own process."""
    runner.runtime.cache_clear()
    process = runner.runtime()
    try:
        yield process
    finally:
        with process.app.app_context():
            db.engine.dispose()
        process.redis.close()
        runner.runtime.cache_clear()


def dead_redis(tmp_path: Path) -> Redis:
    """A client of a server that is not there."""
    return connect(f"unix://{tmp_path}/nobody.sock", patient=False)


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment of a process that uses the same servers as the test."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("JOBSCHED_")},
        "JOBSCHED_HOME": str(settings.home), "DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url,
        "SECRET_KEY": settings.secret_key, "JOBSCHED_TASKS": TASKS, "PYTHONPATH": str(ROOT), **more,
    }


@dataclass
class Running:
    """A process of ours, and the file that its output goes to."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self, number: signal.Signals = signal.SIGTERM, deadline_s: float = 20.0) -> int:
        """Send it a signal, and wait for its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(deadline_s)


@contextmanager
def running(argv: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[Running]:
    """A process for as long as the block lasts; it leads a session, which is killed at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(argv, env=dict(env), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
                                   start_new_session=True)
    ours = Running(process, log)
    try:
        yield ours
    finally:
        try:
            ours.end()
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def engine(settings: Settings, directory: Path, kinds: Sequence[str] = ("dispatcher", "worker", "scheduler"),
           **env: str) -> Iterator[dict[str, Running]]:
    """The named programs, running."""
    with ExitStack() as stack:
        yield {
            kind: stack.enter_context(running(
                [sys.executable, "-m", "jobsched", kind], environment(settings, **env), directory / f"{kind}.log"))
            for kind in kinds
        }


def until_completed(count: int, deadline_s: float = 120.0) -> None:
    """Wait until all jobs are completed, ``count`` in number."""
    try:
        eventually(lambda: all_completed(count), deadline_s, every_s=0.1)
    except AssertionError:
        raise AssertionError(f"not within {deadline_s:g} s: {statuses()}") from None
