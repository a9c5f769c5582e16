"""The engine without processes: its functions on a real Redis and database, beside the model of the guarantees."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from redis import Redis
from rq.exceptions import NoSuchJobError
from sqlalchemy import delete, select, update

from jobsched.base import failpoints
from jobsched.base.connections import connect
from jobsched.board import PREFIX, Board, Flying
from jobsched.dispatch.repair import Sweeper
from jobsched.domain import Band, BoardLost, Conflict, Fence, Slice, Status
from jobsched.intake.drafts import JobDraft
from jobsched.ledger.database import reading, writing
from jobsched.ledger.models import Control, Job, Site, db
from jobsched.ledger.moves import Outcome, StartedJob
from jobsched.queues import lanes
from jobsched.work import outcomes, recording, runner
from jobsched.work.outcomes import Start
from tests.model.clock import Clock
from tests.model.ledger_model import LedgerModel, ModelJob
from tests.promise import audit
from tests.promise.rest import strays, wrong_facts
from tests.promise.stage import SITES, Stage

LEASE_S = 8.0


@dataclass
class Worker:
    """A process with a slice in its hands."""

    run: runner.SliceRun
    slice: Slice
    #: What it has started and not recorded yet.
    open: list[StartedJob] = field(default_factory=list)
    #: What it has stopped, to be put into the next lane.
    demoted: list[int] = field(default_factory=list)
    #: Until when the board has promised to leave the slice to it.
    safe_until: float = float("-inf")


class Engine:
    """What a machine does its steps with. Each is done to the engine and to the model, and they must agree."""

    def __init__(self, stage: Stage, clock: Clock, directory: Path) -> None:
        self.stage, self.settings, self.clock, self.directory = stage, stage.settings, clock, directory
        self.redis: Redis = connect(stage.settings.redis_url)
        self.redis.flushall()
        stage.clear()
        self.board = Board(self.redis, now=clock.seconds)
        self.context = stage.app.app_context()
        self.context.push()
        self.model = LedgerModel()
        self.workers: list[Worker] = []
        self.sweepers = [Sweeper(self.settings, self.board, self.redis) for _ in range(2)]
        self.snapshot: dict[bytes, bytes] = {}
        self._armed = 0
        self.sweepers[0].adopt_settings()
        self.sweepers[0].sweep()

    def close(self) -> None:
        self.redis.flushall()
        self.redis.close()
        self.context.pop()

    # Clients

    def draft(self, site: int, user: int, seconds: float, later_s: float) -> JobDraft:
        run_at = self.clock.now + timedelta(seconds=later_s) if later_s else None
        return JobDraft(user, site, seconds, "noted", {}, run_at)

    def put(self, id_: int, **fields: Any) -> None:
        """Write down what must hold of a job from now on."""
        self.model.jobs[id_] = ModelJob(**{**vars(self.model.jobs[id_]), **fields})

    def asked(self, id_: int, write: Callable[[], object], allowed: bool) -> bool:
        """Do a client's write to a job; whether it was done. It must be refused when, and only when, it may not."""
        try:
            write()
        except Conflict:
            assert not allowed, f"job {id_} was refused: {self.model.jobs[id_]}"
            return False
        assert allowed, f"job {id_} was not refused: {self.model.jobs[id_]}"
        return True

    def some_job(self, which: int, fits: Callable[[ModelJob], bool] = lambda _: True) -> int:
        ids = sorted(id_ for id_, job in self.model.jobs.items() if fits(job))
        return ids[which % len(ids)]

    def in_flight(self) -> set[int]:
        """The jobs that slices hold: not those with which a slower worker has gone on in an older slice."""
        with suppress(BoardLost):
            self.board.rules.read()
            carried = {job for _, jobs in self.board.upkeep.flying().values() for job in jobs}
            return {job for job in carried if isinstance(self.board.view.why(job), Flying)}
        return set()

    # Dispatchers

    def dispatch(self, slices: int, *, hands_over: bool = True) -> None:
        """Fill every lane's queue; without handing over, the dispatcher dies first."""
        try:
            self.board.release()
            for band in self.settings.bands:
                taken = self._take(band, slices)
                if hands_over and taken:
                    lanes.enqueue(self.redis, band, taken)
        except BoardLost:
            self.sweep(self.sweepers[0].rebuild, whole=False)

    def _take(self, band: Band, slices: int) -> list[Slice]:
        """Take, and hold the board to the limits that it has been told."""
        taken = self.board.take(band.name, slices, budget_s=0.002, lease_s=LEASE_S)
        assert not (taken and self.redis.hexists(f"{PREFIX}rules", f"paused:{band.name}"))
        for site in {slice_.site for slice_ in taken}:
            told = self.redis.hmget(f"{PREFIX}site:{site}", ["paused", "max_running", "running"])
            paused, cap, running = (value or b"" for value in told)
            assert paused != b"1", f"site {site} is paused, and served"
            assert not cap or int(running) <= int(cap), f"{running!r} jobs of site {site} run, not at most {cap!r}"
        return taken

    def sweep(self, sweep: Callable[[], object], *, whole: bool = True) -> None:
        """Sweep, and hold it to what it may do, and, when it is not cut short, to what it must."""
        left_alone = {
            job.id for worker in self.workers if worker.safe_until > self.clock.seconds
            for job in worker.open if self.model.runs(Fence(job.id, job.attempt))
        }
        with suppress(failpoints.FailpointError):
            sweep()
        wrong = self.model.sweep(self.found(), self.clock.now, left_alone, whole=whole)
        assert not wrong, f"{wrong} by {self.clock.now}"

    def arm(self, failpoint: str) -> None:
        self._armed += 1
        failpoints.arm(f"{failpoint}=raise@{self.directory / f'fired-{id(self)}-{self._armed}'}")

    # Workers

    def pop(self) -> Slice | None:
        """The first slice of the shortest lane that has one, out of its RQ queue."""
        for band in self.settings.bands:
            while (id_ := self.redis.lpop(f"rq:queue:{band.queue}")) is not None:
                with suppress(NoSuchJobError):
                    job: Any = lanes.SliceJob.fetch(str(id_, "ascii"), connection=self.redis)
                    slice_id, site, name, points, at, jobs = job.args
                    return Slice(slice_id, site, name, points, at, tuple(Fence(*fence) for fence in jobs))
        return None

    def start(self, slice_: Slice) -> Worker:
        run = runner.SliceRun(runner.Runtime(self.settings, self.stage.app, self.redis, self.board), slice_)
        run._started, _ = run._start()
        assert [Fence(job.id, job.attempt) for job in run._started] == self.model.start(slice_.jobs)
        self.workers.append(Worker(run, slice_, list(run._started)))
        return self.workers[-1]

    def finish(self, worker: Worker, count: int, end: str) -> None:
        """Record how the next ``count`` starts of the worker ended."""
        jobs, worker.open = worker.open[:count], worker.open[count:]
        ends = [self._outcome(job, end) for job in jobs]
        worker.demoted += [outcome.job for outcome in ends if outcome.band]
        assert len(ends) - recording.record(ends) == self.model.finish(ends)

    def settle(self, worker: Worker, used_s: float) -> None:
        with suppress(BoardLost):
            self.board.settle(worker.slice.id, used_s)
            worker.run._place(worker.demoted)
        self.workers.remove(worker)

    def renew(self, worker: Worker) -> None:
        """Renew a lease; a worker that is told that it has lost it stops."""
        try:
            held = worker.run._renew()
        except BoardLost:
            return
        if held:
            assert self._has_a_hold(worker), f"slice {worker.slice.id} was taken back, and its worker is not told"
            worker.safe_until = self.clock.seconds + LEASE_S
            return
        ours = [job.id for job in worker.run._started if self.model.runs(Fence(job.id, job.attempt))]
        assert not ours, f"told to let go of jobs {ours}, which run nowhere else"
        self.workers.remove(worker)

    # The world

    def pass_time(self, seconds: float) -> None:
        self.clock.pass_(seconds)
        self.board.now = self.clock.seconds

    def save_redis(self) -> None:
        self.snapshot = {key: self.redis.dump(key) for key in self.redis.keys("*")}

    def restart_redis(self, *, old_data: bool) -> None:
        """Redis comes back with what it saved last, or with nothing."""
        self.redis.flushall()
        for key, value in self.snapshot.items() if old_data else ():
            self.redis.restore(key, 0, value)
        for worker in self.workers:  # an empty board is made anew, and gives workers time; an old one knows no better
            worker.safe_until = float("-inf") if old_data else self.clock.seconds + LEASE_S

    # What holds

    def found(self) -> dict[int, tuple[str, int, int, str]]:
        """What SQL holds of each job: status, attempt, the most attempts, band."""
        with reading() as session:
            jobs = session.execute(select(Job.id, Job.status, Job.attempt, Job.max_attempts, Job.band))
            return {job.id: (job.status, job.attempt, job.max_attempts, job.band) for job in jobs}

    def check_ledger(self) -> None:
        """SQL is where the model is."""
        jobs = self.model.jobs
        assert self.found() == {
            id_: (job.status, job.attempt, job.max_attempts, job.band) for id_, job in jobs.items()}
        assert all(job.attempt <= job.max_attempts for job in self.model.jobs.values())

    def check_board(self) -> None:
        """The board's counts are those of its lines; and its scores, unless it is half way to another policy."""
        with suppress(BoardLost):
            if self.board.rules.read().rescoring:
                return
            assert [self.board.upkeep.recount(site) for site in SITES] == [0 for _ in SITES]
            assert self.board.upkeep.recount_lanes(100) == 0

    def come_to_rest(self) -> None:
        """Leave the engine alone, with dispatchers and workers that do their work; all that is unfinished ends."""
        self.workers.clear()
        with writing() as session:  # what is paused would wait for ever; caps stay
            session.execute(update(Site).values(paused=False, rate_per_s=None))
            session.execute(delete(Control).where(Control.name != "policy"))
        for _ in range(12):
            self.pass_time(LEASE_S + 1)
            self.sweep(self.sweepers[0].sweep)
            if self._rests():
                break
            self.dispatch(50)
            while slice_ := self.pop():
                worker = self.start(slice_)
                self.finish(worker, len(worker.open), "completed")
                self.settle(worker, 0.001)
                self.dispatch(50)  # a site at its cap goes on

    def check_rest(self) -> None:
        """Every job has ended, once, and a recount of the board from SQL finds nothing."""
        assert [f"job {id_} is {job}" for id_, job in self.model.jobs.items() if not job.ended] == []
        assert strays(self.redis) == []
        assert wrong_facts(self.redis) == []
        with db.engine.connect() as connection:
            account = audit.steps(connection)
        assert audit.faults(account) == []
        completions = [step.job for steps in account.values() for step in steps if step.became == "completed"]
        assert sorted(completions) == sorted(self.model.completed)

    def _has_a_hold(self, worker: Worker) -> bool:
        """Whether a worker with something to do has a reason to go on with it."""
        started = worker.run._started
        return not started or self.board.holds(worker.slice.id) or any(
            self.model.runs(Fence(job.id, job.attempt)) for job in started)

    def _rests(self) -> bool:
        return all(job.ended for job in self.model.jobs.values()) and not strays(self.redis)

    def _outcome(self, job: StartedJob, end: str) -> Outcome:
        """How a start ends; in a retry only when an attempt is left, in the next lane only when there is one."""
        now = self.clock.now
        if end in ("overran", "overran for good"):
            start = Start(job, now, now, 0.3, may_repeat=end == "overran")
            return outcomes.of_error(start, "stopped", self.settings, overran=True)
        status = Status.FAILED if end == "scheduled" and job.attempt >= job.max_attempts else Status(end)
        run_at = now + timedelta(seconds=4) if status is Status.SCHEDULED else None
        return Outcome(job.id, job.attempt, status, now, now, 0.001, None, None, run_at)
