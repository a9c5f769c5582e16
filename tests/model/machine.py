"""What may happen, in any order: clients, dispatchers, late, doubled and dead workers, a Redis that forgets.

Rules are drawn alike often, so what belongs together is one rule with a choice in it: else most of what is drawn would
be trouble, and too little work be under way for the trouble to hit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import update

from jobsched.base import failpoints
from jobsched.domain import BoardLost, SiteFacts
from jobsched.intake import controls, submit
from jobsched.ledger.database import writing
from jobsched.ledger.models import SITE_FACTS, Site, UserRecord
from jobsched.policy import POLICIES
from tests.failpoints import names
from tests.model.clock import Clock
from tests.model.engine import Engine, Worker
from tests.model.ledger_model import ModelJob
from tests.promise.stage import SITES, USERS, Stage
from tests.support import unheard

#: Any of what there is: jobs, workers.
WHICH = st.integers(0, 20)
SITE, USER = st.sampled_from(SITES), st.sampled_from(USERS)
SECONDS = st.sampled_from([0.0004, 0.001, 0.003, 0.05])
LATER_S = st.sampled_from([0.0, 0.0, 0.0, 5.0, 30.0])
#: Whether the board hears of what was committed: Redis may be away, or the process die.
HEARD = st.sampled_from([True, True, True, False])
ENDS = st.sampled_from(["completed", "completed", "failed", "scheduled", "overran", "overran for good"])
IN_SWEEP = [name for name in names.names() if name.startswith(("repair.", "wake.", "rescore."))]
IN_CONTROLS = [name for name in names.names() if name.startswith(("controls.", "rescore."))]

some_jobs = precondition(lambda self: self.engine.model.jobs)
some_workers = precondition(lambda self: self.engine.workers)


class Machine(RuleBasedStateMachine):
    """After every step SQL is where the model is, and the board is true to itself; left alone, all comes to rest."""

    def __init__(self, stage: Stage, clock: Clock, directory: Path) -> None:
        super().__init__()
        self.engine = Engine(stage, clock, directory)

    # Clients

    @rule(site=SITE, user=USER, seconds=SECONDS, later_s=LATER_S, copies=st.sampled_from([1, 2, 6]), heard=HEARD)
    def submit(self, site: int, user: int, seconds: float, later_s: float, copies: int, heard: bool) -> None:
        engine = self.engine
        draft = engine.draft(site, user, seconds, later_s)
        with (writing if heard else unheard)() as session:
            rows = submit.insert_jobs(session, engine.board, {f"/{i}": draft for i in range(copies)}, engine.settings)
        job = ModelJob("scheduled" if later_s else "pending", 0, engine.settings.max_attempts, draft.run_at,
                       engine.settings.bands.holding(seconds).name)
        for row in rows:
            engine.model.add(row.id, job)

    @some_jobs
    @rule(which=WHICH, heard=HEARD)
    def cancel(self, which: int, heard: bool) -> None:
        job = self.engine.some_job(which)

        def write() -> None:
            with (writing if heard else unheard)() as session:
                submit.cancel(session, self.engine.board, job)

        if self.engine.asked(job, write, self.engine.model.jobs[job].waits):
            self.engine.put(job, status="cancelled")

    @precondition(lambda self: any(job.can_be_retried for job in self.engine.model.jobs.values()))
    @rule(which=WHICH, any_job=st.booleans(), heard=HEARD)
    def retry(self, which: int, any_job: bool, heard: bool) -> None:
        engine = self.engine
        job = engine.some_job(which, lambda job: any_job or job.can_be_retried)
        was = engine.model.jobs[job]

        def write() -> None:
            with (writing if heard else unheard)() as session:
                submit.retry(session, engine.board, job, engine.settings)

        if engine.asked(job, write, was.can_be_retried):
            engine.put(job, status="pending", run_at=None, max_attempts=was.attempt + engine.settings.max_attempts)

    @some_jobs
    @rule(which=WHICH, site=SITE, user=USER, seconds=SECONDS, later_s=LATER_S, heard=HEARD)
    def change(self, which: int, site: int, user: int, seconds: float, later_s: float, heard: bool) -> None:
        engine = self.engine
        draft = engine.draft(site, user, seconds, later_s)

        def write(job: int) -> None:
            with (writing if heard else unheard)() as session:
                submit.change(session, engine.board, job, draft, engine.settings)

        job = self._rewritten(which, write)
        if job is not None:
            engine.put(job, status="scheduled" if later_s else "pending", run_at=draft.run_at,
                       band=engine.settings.bands.holding(seconds).name)

    @some_jobs
    @rule(which=WHICH, really=st.sampled_from([True, False, False]))
    def delete(self, which: int, really: bool) -> None:
        def write(job: int) -> None:
            with writing() as session:
                submit.remove(session, self.engine.board, job)

        job = self._rewritten(which, write) if really else None
        if job is not None:
            del self.engine.model.jobs[job]

    @rule(site=st.builds(
        SiteFacts, SITE, st.integers(1, 3), st.sampled_from([1.0, 2.5]), st.sampled_from([None, None, 1, 3]),
        st.sampled_from([None, None, 1.0]), st.integers(1, 4), st.sampled_from([False, False, True]),
    ), user=USER, active=st.booleans(), heard=HEARD)
    def change_facts(self, site: SiteFacts, user: int, active: bool, heard: bool) -> None:
        with writing() as session:
            session.execute(update(Site).where(Site.id == site.id).values(
                dict(zip(SITE_FACTS, dataclasses.astuple(site), strict=True))))
            session.execute(update(UserRecord).where(UserRecord.id == user).values(is_active=active))
        with suppress(BoardLost):
            if heard:
                self.engine.board.update_sites([site])
                self.engine.board.update_users([(user, active)])

    @rule(policy=st.sampled_from([None, *POLICIES]), band=st.sampled_from(["task_01", "task_01", "task_02"]),
          paused=st.booleans(), heard=HEARD, fails_at=st.one_of(st.none(), st.sampled_from(IN_CONTROLS)))
    def change_controls(self, policy: str | None, band: str, paused: bool, heard: bool, fails_at: str | None) -> None:
        with writing() as session:
            controls.choose_policy(session, policy)
            controls.pause_lane(session, band, paused=paused)
        if fails_at:
            self.engine.arm(fails_at)
        try:
            with suppress(BoardLost, failpoints.FailpointError):
                if heard:
                    controls.apply(self.engine.board, self.engine.settings)
        finally:
            failpoints.arm("")

    # Dispatchers

    @rule(slices=st.integers(1, 3), workers=st.integers(0, 5), hands_over=HEARD)
    def dispatch(self, slices: int, workers: int, hands_over: bool) -> None:
        """Slices are handed over, unless the dispatcher dies first, and some idle workers take them up."""
        self.engine.dispatch(slices, hands_over=hands_over)
        for _ in range(workers):
            if slice_ := self.engine.pop():
                self.engine.start(slice_)

    @rule(fails_at=st.one_of(st.none(), st.sampled_from(IN_SWEEP)), which=st.integers(0, 1))
    def sweep(self, fails_at: str | None, which: int) -> None:
        if fails_at:
            self.engine.arm(fails_at)
        try:
            self.engine.sweep(self.engine.sweepers[which].sweep, whole=fails_at is None)
        finally:
            failpoints.arm("")

    # Workers

    @some_workers
    @rule(which=WHICH, count=st.integers(1, 3), end=ENDS)
    def finish_some(self, which: int, count: int, end: str) -> None:
        self.engine.finish(self._worker(which), count, end)

    @some_workers
    @rule(which=WHICH, end=ENDS, used_s=st.sampled_from([0.0, 0.002, 3.0]))
    def finish_and_settle(self, which: int, end: str, used_s: float) -> None:
        worker = self._worker(which)
        self.engine.finish(worker, len(worker.open), end)
        self.engine.settle(worker, used_s)

    @some_workers
    @rule(which=WHICH, how=st.sampled_from(["delivered again", "settled without an end", "dead"]))
    def disturb(self, which: int, how: str) -> None:
        """RQ hands out a slice twice; the reply of a start fence is lost, so that there is nothing to do; a kill -9."""
        worker = self._worker(which)
        if how == "delivered again":
            self.engine.start(worker.slice)
        elif how == "dead":
            self.engine.workers.remove(worker)
        else:
            self.engine.settle(worker, 0.0)

    @rule(then=st.sampled_from(["start", "start again", "finish"]), which=WHICH, others=st.integers(0, 2), end=ENDS)
    def stall(self, then: str, which: int, others: int, end: str) -> None:
        """A worker stands still for over a lease; others take up its jobs; then it goes on, or RQ has a second copy."""
        engine = self.engine
        busy = [worker for worker in engine.workers if worker.open]
        worker = busy[which % len(busy)] if busy else None
        popped = engine.pop() if then == "start" else None
        engine.pass_time(9.0)
        engine.sweep(engine.sweepers[0].sweep)
        self.dispatch(3, others, True)
        if popped:
            engine.start(popped)
        elif worker and then == "start again":
            engine.start(worker.slice)
        elif worker and then == "finish":
            engine.finish(worker, len(worker.open), end)

    @rule()
    def renew(self) -> None:
        for worker in list(self.engine.workers):
            self.engine.renew(worker)

    # The world

    @rule(seconds=st.sampled_from([0.5, 3.0, 9.0]), alive=st.booleans(), swept=st.booleans())
    def pass_time(self, seconds: float, alive: bool, swept: bool) -> None:
        """Workers renew their leases all the while, or are silent: stopped, swapped out, or cut off."""
        for _ in range(3):
            self.engine.pass_time(seconds / 3)
            if alive:
                self.renew()
        if swept:
            self.engine.sweep(self.engine.sweepers[0].sweep)

    @rule(how=st.sampled_from(["save", "save", "save", "lose all", "go back"]), long_runs=st.booleans(),
          rebuilt=st.booleans())
    def restart_redis(self, how: str, long_runs: bool, rebuilt: bool) -> None:
        """Redis saves its data; comes back with none, maybe when tasks run for long; comes back with old data."""
        engine = self.engine
        if how == "save":
            engine.save_redis()
            return
        if long_runs:
            self.pass_time(9.0, True, False)
        engine.restart_redis(old_data=how == "go back")
        if rebuilt:
            engine.sweep(engine.sweepers[1].sweep)
            self.renew()

    # What holds

    @invariant()
    def ledger_and_board_are_right(self) -> None:
        self.engine.check_ledger()
        self.engine.check_board()

    def teardown(self) -> None:
        try:
            self.engine.come_to_rest()
            self.engine.check_ledger()
            self.engine.check_board()
            self.engine.check_rest()
        finally:
            self.engine.close()

    def _worker(self, which: int) -> Worker:
        return self.engine.workers[which % len(self.engine.workers)]

    def _rewritten(self, which: int, write: Callable[[int], None]) -> int | None:
        """A job that was rewritten, which may be while it waits and is in no slice in flight."""
        job = self.engine.some_job(which)
        allowed = self.engine.model.jobs[job].waits and job not in self.engine.in_flight()
        return job if self.engine.asked(job, lambda: write(job), allowed) else None
