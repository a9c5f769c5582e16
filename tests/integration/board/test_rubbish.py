"""Any single value on the board may be wrong, foreign or missing: the order heals, and no process ends or hangs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from redis import Redis
from sqlalchemy import select

from jobsched.board import PREFIX, Board, code_of
from jobsched.board.parse import text
from jobsched.dispatch import repair
from jobsched.dispatch.dispatcher import Dispatcher
from jobsched.dispatch.repair import Sweeper
from jobsched.ledger import moves
from jobsched.ledger.database import reading, writing
from jobsched.ledger.models import Job, Site, UserRecord, db
from jobsched.queues import lanes
from jobsched.queues.lanes import SliceJob
from jobsched.staffing import plan
from jobsched.web.application import create_app
from jobsched.work import runner, worker
from tests.chaos.audit import Row
from tests.chaos.recount import board_faults
from tests.engine import cut, draft, post, runtime, statuses
from tests.integration.board.rubbish import Spoil, every
from tests.promise import audit
from tests.promise.fixtures import sqlite_stage  # noqa: F401
from tests.promise.rest import strays, wrong_facts
from tests.promise.stage import Stage
from tests.support import BANDS, eventually

pytestmark = pytest.mark.redis

#: Where all of several thousand ways are wanted: ``JOBSCHED_RUBBISH=2/7`` is every seventh one, from the second on.
ALL = os.environ.get("JOBSCHED_RUBBISH")
#: Each phase of healing is a few sweeps, in seconds.
DEADLINE_S = 30.0
GET = ("/", "/metrics", "/readyz", "/lanes", "/policy", "/sites/1", "/sites", "/user-records/1", "/jobs/{job}",
       "/jobs/{job}/why", "/jobs")
BROWSER = {"Accept": "text/html"}


@dataclass
class System:
    """A whole one in this process: what is not told otherwise is the real thing."""

    stage: Stage
    redis: Redis
    client: FlaskClient
    board: Board
    dispatcher: Dispatcher
    worker: worker.LaneWorker

    @property
    def sweeper(self) -> Sweeper:
        return self.dispatcher._sweeper

    def begin(self) -> list[int]:
        """Two sites with limits, jobs that wait in three lanes, slices on their way and in a worker's hands."""
        self.redis.flushall()
        self.stage.clear()
        settings = self.stage.settings
        with writing() as session:
            session.get_one(Site, 1).rate_per_s, session.get_one(Site, 1).burst = 1000.0, 50
            session.get_one(Site, 2).max_running = 30
            session.add(UserRecord(id=3, name="user 3", site_id=1, is_active=False))
        self.dispatcher = Dispatcher(settings, self.board, self.redis)
        self.dispatcher.tick()
        jobs = post(settings, self.board, *(
            draft("noted", site=1 + i % 2, user=1 + i % 2, execution_time=seconds)
            for seconds in (0.001, 0.05, 5.0) for i in range(6)))
        (running,) = cut(self.board, "task_01", lease_s=settings.lease_s, budget_s=0.002)
        with writing() as session:
            moves.start(session, running)
        self.board.renew(running.id, settings.lease_s)
        cut(self.board, "task_03", lease_s=settings.lease_s)
        ended = cut(self.board, "task_01", lease_s=settings.lease_s)
        self.board.renew(ended[0].id, settings.lease_s)
        self.board.settle(ended[0].id, 0.01)  # so that something was measured; the sweep finds its jobs pending
        return jobs

    def look(self, job: int) -> None:
        """Everything that reads the board reads it, and nothing falls over."""
        for path in GET:
            for headers in ({}, BROWSER):
                answer = self.client.get(path.format(job=job), headers=headers)
                assert answer.status_code < 500 or path == "/readyz", f"{path}: {answer.text[:300]}"
                assert not {"Infinity", "NaN"} & set(answer.text.split())
        self.worker.look()
        self.board.presence.beat("worker", self.worker.name, 15.0)

    def set_aside(self) -> None:
        """A worker that lacked their task has set jobs aside, and another one knows it by now."""
        (slice_,) = cut(self.board, "task_01", lease_s=self.stage.settings.lease_s, budget_s=0.002)
        assert self.board.set_aside(slice_.id, {fence.job: "noted" for fence in slice_.jobs})
        self.board.settle(slice_.id, 0.0)
        self.board.codes.beat("knows", [band.name for band in BANDS], ["noted"], 60.0)

    def work(self) -> None:
        """Run what stands in the workers' queues."""
        sides = [lanes.side_queue(band, code_of(["noted"])) for band in BANDS]
        for queue in (*(band.queue for band in BANDS), *sides):
            while id_ := self.redis.lpop(f"rq:queue:{queue}"):
                runner.run_slice(*SliceJob.fetch(id_.decode(), connection=self.redis).args)
                self.redis.delete(f"rq:job:{id_.decode()}")

    def faults(self) -> list[str]:
        """Where the board differs from a recount from SQL, while nothing is in flight."""
        with reading() as session:
            rows = [Row(job.id, job.status, job.attempt, job.max_attempts, job.site_id, job.user_id, job.band,
                        job.execution_time, job.payload, job.error) for job in session.scalars(select(Job))]
            capacities = {site.id: site.record_capacity for site in session.scalars(select(Site))}
        return board_faults(self.redis, rows, capacities) + wrong_facts(self.redis)


@pytest.fixture(scope="module")
def system(sqlite_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:  # noqa: F811
    patch = pytest.MonkeyPatch()
    patch.setenv("FAILPOINTS_BOOK", str(tmp_path_factory.mktemp("book") / "book"))
    home = sqlite_stage.settings
    for name, value in (("JOBSCHED_HOME", str(home.home)), ("DATABASE_URL", home.database_url), ("SECRET_KEY", "test"),
                        ("REDIS_URL", home.redis_url), ("JOBSCHED_TASKS", "tests.failpoints.tasks"),
                        ("JOBSCHED_LEASE", "0.5"), ("JOBSCHED_REPAIR_EVERY", "0.2")):
        patch.setenv(name, value)
    web = create_app(home)
    with Redis.from_url(home.redis_url) as redis, runtime(), sqlite_stage.app.app_context():
        redis.flushall()
        board = Board(redis)
        slot = plan.slots(1, home.bands)[0]
        yield System(sqlite_stage, redis, web.test_client(), board, Dispatcher(home, board, redis),
                     worker.LaneWorker(slot, connection=redis, name="looker"))
    web.extensions["jobsched.redis"].close()
    with web.app_context():
        db.engine.dispose()
    patch.undo()


def heals(system: System, spoil: Callable[[Redis], object], told: str = "", *, aside: bool = False) -> None:
    """The promise: the board comes to equal SQL, and all jobs to their end, while nothing raises."""
    jobs = system.begin()
    if aside:
        system.set_aside()
    spoil(system.redis)
    system.look(jobs[-1])

    def is_mended() -> bool:
        system.sweeper.sweep()
        return not system.board.upkeep.flying() and not system.faults()

    try:
        if not aside:  # that is not recounted
            eventually(is_mended, DEADLINE_S)
    except AssertionError:
        pytest.fail(f"{told}: {system.faults()}, in flight {system.board.upkeep.flying()}")
    system.look(jobs[-1])
    repair.main(system.stage.settings)

    def is_done() -> bool:
        system.sweeper.sweep()
        system.board.codes.beat("knows", [band.name for band in BANDS], ["noted"], 60.0)  # as it does all the time
        system.dispatcher.tick()
        system.work()
        return statuses() == {"completed": len(jobs)}

    try:
        eventually(is_done, DEADLINE_S)
    except AssertionError:
        pytest.fail(f"{told}: {statuses()}")
    eventually(lambda: system.sweeper.sweep() and not strays(system.redis), DEADLINE_S)
    assert wrong_facts(system.redis) == []
    with db.engine.connect() as connection:
        assert audit.faults(audit.steps(connection)) == []


def key(name: str) -> str:
    return PREFIX + name


SEEN: dict[str, Callable[[Redis], object]] = {
    "an entry that is garbage": lambda r: r.hset(key("jobs"), "999", "garbage"),
    "entries of an older version": lambda r: [
        r.hset(key("jobs"), job, entry.rsplit(b" ", 1)[0]) for job, entry in r.hgetall(key("jobs")).items()],
    "a lane of another type": lambda r: (r.delete(key("lane:task_05")), r.set(key("lane:task_05"), "x")),
    "jobs of another type": lambda r: (r.delete(key("jobs")), r.set(key("jobs"), "x")),
    "a rule that is missing": lambda r: r.hdel(key("rules"), "task_05:boost"),
    "a virtual time that is no number": lambda r: r.hset(key("lanes"), "v:task_05", "abc"),
    "a virtual time without end": lambda r: r.hset(key("lanes"), "v:task_05", "inf"),
    "a lock that nobody holds": lambda r: r.set(key("lock:repair"), "somebody"),
    "a board of the far future": lambda r: r.hset(key("rules"), "made_at", "1e17"),
    "leases without end": lambda r: r.zadd(
        key("flight"), dict.fromkeys(r.zrange(key("flight"), 0, -1), float("inf"))),
    "a number of slices that can not be counted on": lambda r: r.set(key("slices"), "1e308"),
    "another epoch": lambda r: r.hset(key("rules"), "epoch", "no epoch at all"),
    "a policy that nobody knows": lambda r: r.hset(key("rules"), "policy", "none"),
    "bands that nobody has": lambda r: r.hset(key("rules"), "bands", "\u00b2"),
}
ASIDE: dict[str, Callable[[Redis], object]] = {
    "without its pair": lambda r: r.delete(key("asides")),
    "without its jobs": lambda r: r.delete(key("aside:task_01 noted")),
    "without its index": lambda r: r.delete(key("aside")),
    "without its turns": lambda r: r.delete(key("turns:task_01 noted")),
    "with a pair that is none": lambda r: r.sadd(key("asides"), "abc", b"\xff", "task_99 x"),
    "with jobs that are none": lambda r: r.zadd(key("aside:task_01 noted"), {"abc": 0.0, b"\xff": 1.0, "999": 2.0}),
    "with turns of another type": lambda r: (
        r.delete(key("turns:task_01 noted")), r.set(key("turns:task_01 noted"), 1)),
    "with a turn that is no number": lambda r: r.hset(key("turns:task_01 noted"), "v", "abc"),
    "with an index of another type": lambda r: (r.delete(key("aside")), r.set(key("aside"), "x")),
    "with pairs of another type": lambda r: (r.delete(key("asides")), r.set(key("asides"), "x")),
    "with who knows it of another type": lambda r: (r.delete(key("alive:code")), r.set(key("alive:code"), "x")),
    "with tasks that are garbage": lambda r: r.hset(key("alive:tasks"), code_of(["noted"]), b"\xff{"),
}


@pytest.mark.parametrize("seen", SEEN)
def test_what_was_seen_to_stop_a_board_for_good_heals(system: System, seen: str) -> None:
    heals(system, SEEN[seen], seen)


@pytest.mark.parametrize("seen", ASIDE)
def test_a_wrong_value_about_what_was_set_aside_heals(system: System, seen: str) -> None:
    heals(system, ASIDE[seen], seen, aside=True)


def test_whichever_keys_are_evicted_all_that_waits_runs(system: System) -> None:
    system.begin()
    names = sorted(text(name) for name in system.redis.keys(PREFIX + "*"))
    kinds = sorted({name.removeprefix(PREFIX).split(":")[0] for name in names})
    groups = [[name for name in names if name.removeprefix(PREFIX).split(":")[0] == kind] for kind in kinds]
    for gone in (*groups, names[::2], names[1::2], names[::3]):
        heals(system, lambda redis, gone=gone: redis.delete(*gone), f"without {gone}")


@seed(9)
@settings(max_examples=25, deadline=None, derandomize=False, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
@pytest.mark.skipif(ALL is not None, reason="every way is tried below")
def test_one_wrong_value_anywhere_heals(system: System, data: st.DataObject) -> None:
    system.begin()
    by_key: dict[str, list[Spoil]] = {}
    for spoil in every(system.redis):
        by_key.setdefault(spoil.told.split("'")[1], []).append(spoil)
    chosen = data.draw(st.sampled_from(by_key[data.draw(st.sampled_from(sorted(by_key)))]))
    heals(system, chosen.do, chosen.told)


@pytest.mark.skipif(ALL is None, reason="takes an hour: JOBSCHED_RUBBISH=1/1")
def test_every_wrong_value_heals(system: System) -> None:
    first, step = (int(part) for part in str(ALL).split("/"))
    system.begin()
    failed = []
    for number, spoil in zip(count(), list(every(system.redis)), strict=False):
        if number % step == first % step:
            try:
                heals(system, spoil.do, spoil.told)
            except BaseException as error:  # all of them, for one report
                print(f"{number} {spoil.told}: {type(error).__name__}: {str(error)[:600]}", flush=True)
                failed.append(spoil.told)
    assert failed == []
