"""Clocks of Redis or of hosts that jump by an hour: no job is lost, and nothing stays wrong for an hour."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import update

from jobsched.board import PREFIX, Board
from jobsched.config import Settings
from jobsched.dispatch.repair import Sweeper
from jobsched.domain import SiteFacts
from jobsched.ledger.database import writing
from jobsched.ledger.models import Job
from tests import clocks
from tests.clocks import Clock, or_skip
from tests.engine import cut, draft, engine, insert, job, people, post, starts, until_completed
from tests.support import eventually, install, lane_of, waiting_job

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
HOUR = 3600.0
QUICK = {"JOBSCHED_WORKERS": "2", "JOBSCHED_REPAIR_EVERY": "0.5", "JOBSCHED_LEASE": "2"}


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return or_skip(lambda: clocks.clock(tmp_path))


@pytest.fixture
def redis(clock: Clock) -> Iterator[Redis]:
    """A Redis whose clock can be put forward and back."""
    or_skip(clocks.binary)
    with clocks.running_redis_by(clock) as client:
        yield client


@pytest.fixture
def settings(settings: Settings, redis: Redis) -> Settings:
    path = redis.connection_pool.connection_kwargs["path"]
    return dataclasses.replace(settings, redis_url=f"unix://{path}?db=0")


@pytest.fixture
def board(redis: Redis) -> Board:
    import tests.engine_tasks  # noqa: F401

    return install(Board(redis), "balanced")


def ahead(redis: Redis) -> float:
    """How far Redis's clock is ahead of ours."""
    return float(redis.time()[0]) - time.time()


# Redis's clock was an hour ahead, and is put back


def test_who_died_before_is_not_alive_for_an_hour(clock: Clock, redis: Redis, board: Board) -> None:
    clock.put(HOUR)
    assert ahead(redis) > HOUR - 60
    board.presence.beat("worker", "dead", 15.0)
    board.codes.beat("dead", ["task_01"], ["echo"], 15.0)
    assert (board.presence.alive("worker"), board.codes.tasks()) == (["dead"], {"echo"})

    clock.put(0)

    assert (board.presence.alive("worker"), board.codes.by_band()) == ([], {})
    board.presence.beat("worker", "living", 15.0)
    assert board.presence.alive("worker") == ["living"]


def test_a_lock_whose_holder_died_is_not_held_for_an_hour(clock: Clock, redis: Redis, board: Board) -> None:
    clock.put(HOUR)
    assert redis.lock(f"{PREFIX}lock:repair", timeout=0.5, blocking=False).acquire()  # by one that dies
    clock.put(0)

    def sole() -> bool:
        with board.presence.sole("repair", 0.5) as stay:
            return stay is not None

    assert not sole()
    eventually(sole)


def test_a_lock_that_is_held_rightly_stays(redis: Redis, board: Board) -> None:
    with board.presence.sole("repair", 3.0) as first:
        assert first is not None
        for _ in range(3):
            with board.presence.sole("repair", 3.0) as second:
                assert second is None


@only_sqlite
def test_the_lease_of_a_dead_worker_ends(
    clock: Clock, settings: Settings, ledger: object, board: Board, redis: Redis
) -> None:
    clock.put(HOUR)
    board.place([waiting_job()])
    (slice_,) = cut(board, "task_04", lease_s=8.0)
    clock.put(0)
    sweeper = Sweeper(dataclasses.replace(settings, lease_s=0.5), board, redis)

    sweeper.sweep()

    eventually(lambda: list(board.upkeep.expired(10)) == [slice_.id])


@only_sqlite
def test_a_lease_that_is_right_is_left_alone(settings: Settings, ledger: object, board: Board, redis: Redis) -> None:
    board.place([waiting_job()])
    cut(board, "task_04", lease_s=8.0)
    before = redis.zrange(f"{PREFIX}flight", 0, -1, withscores=True)

    assert Sweeper(settings, board, redis).future() == 0
    assert redis.zrange(f"{PREFIX}flight", 0, -1, withscores=True) == before


@only_sqlite
def test_a_board_that_was_made_in_the_future_comes_of_age(
    clock: Clock, settings: Settings, ledger: object, redis: Redis
) -> None:
    people()
    clock.put(HOUR)
    board = install(Board(redis), "balanced")
    clock.put(0)
    assert float(redis.hget(f"{PREFIX}rules", "made_at") or 0) > redis.time()[0] + HOUR / 2

    Sweeper(dataclasses.replace(settings, lease_s=0.2), board, redis).sweep()

    eventually(lambda: board.rules.age_s() > 0.2)


@only_sqlite
@pytest.mark.parametrize("hours", [-1, 1])
def test_an_orphan_is_found_whatever_its_workers_clock_said(
    settings: Settings, ledger: object, board: Board, hours: int, redis: Redis
) -> None:
    people()
    settings = dataclasses.replace(settings, lease_s=0.2)
    (id_,) = insert(settings, draft("echo"))
    with writing() as session:
        then = job(id_).submitted_at.timestamp() + hours * HOUR
        moment = job(id_).submitted_at.fromtimestamp(then, tz=job(id_).submitted_at.tzinfo)
        session.execute(update(Job).values(status="running", attempt=1, started_at=moment, slice="lost"))
    eventually(lambda: board.rules.age_s() > 0.3)

    assert Sweeper(settings, board, redis).leases.orphaned() == 1

    assert job(id_).status == "pending"


@only_sqlite
def test_what_is_seen_of_the_load_fades_again(
    clock: Clock, settings: Settings, ledger: object, board: Board, redis: Redis
) -> None:
    clock.put(HOUR)
    board.place(waiting_job() for _ in range(50))
    clock.put(0)
    Sweeper(settings, board, redis).sweep()

    now = float(redis.time()[0]) + 1
    assert [float(at) <= now for at in redis.hmget(f"{PREFIX}load:task_04", "at", "since")] == [True, True]
    board.now = time.time() + 500  # five times the time in which it fades to a third
    assert lane_of(board).load.arrivals_per_s < 0.01


def test_a_rate_lets_its_site_go_again(clock: Clock, board: Board) -> None:
    clock.put(HOUR)
    board.update_sites([SiteFacts(1, 1, rate_per_s=1.0, burst=1)])
    board.place(waiting_job() for _ in range(3))
    assert len(cut(board, "task_04")) == 1
    clock.put(0)
    assert cut(board, "task_04") == []

    board.upkeep.recount(1)

    assert len(cut(board, "task_04")) == 1


# Everything at once


@pytest.mark.slow
def test_work_goes_on_through_jumps_of_rediss_clock(
    clock: Clock, settings: Settings, ledger: object, board: Board, tmp_path: Path
) -> None:
    people()
    book = tmp_path / "book"
    with engine(settings, tmp_path, **QUICK):
        eventually(lambda: len(board.presence.alive("worker")) == 2, 60)
        done = 0
        for jump in (HOUR, 0.0, -HOUR, 0.0):
            wish = draft("tally", execution_time=0.5, book=str(book), seconds=0.2)
            post(settings, board, *[wish] * 5)
            clock.put(jump)
            post(settings, board, *[wish] * 5)
            done += 10
            until_completed(done, 60.0)  # a minute after the jump, all is as ever
        assert eventually(lambda: len(board.presence.alive("worker")) == 2, 30)
    assert sum(job(id_).attempt > 3 for id_ in starts(book)) == 0
    assert len(starts(book)) == done
