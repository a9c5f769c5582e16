"""rq-scheduler continues and does its work, whatever its keys hold."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from redis import Redis

from jobsched.base import aside
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.queues.lanes import PRUNE, WAKE, SliceJob
from jobsched.queues.scheduler import WakeScheduler, wake_scheduler
from tests import forged
from tests.engine import engine
from tests.support import eventually

SCHEDULE = "rq:scheduler:scheduled_jobs"
PERIODIC = [b"jobsched-runner-tidy", b"jobsched-runner-wake"]
only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def scheduler(redis: Redis) -> WakeScheduler:
    return wake_scheduler(redis)


def waiting(redis: Redis) -> list[bytes]:
    return redis.lrange("rq:queue:wake", 0, -1)


def test_it_hands_on_what_is_done_every_so_often_and_asks_for_it_again(redis: Redis, scheduler: WakeScheduler) -> None:
    before = time.time()
    scheduler.tick()
    scheduler.tick()

    assert sorted(waiting(redis)) == PERIODIC
    assert before + 15 <= redis.zscore(SCHEDULE, "jobsched-runner-wake") <= time.time() + 15
    assert before + 3600 <= redis.zscore(SCHEDULE, "jobsched-runner-tidy") <= time.time() + 3600
    assert [SliceJob.fetch(id_.decode(), connection=redis).func_name for id_ in sorted(waiting(redis))] == [PRUNE, WAKE]


def test_a_wake_that_is_due_is_handed_on_once(redis: Redis, scheduler: WakeScheduler) -> None:
    redis.zadd(SCHEDULE, {"wake-1": 1, "wake-2": time.time() + 60})

    scheduler.tick()
    scheduler.tick()

    assert b"wake-1" in waiting(redis)
    assert waiting(redis).count(b"wake-1") == 1
    assert redis.zscore(SCHEDULE, "wake-1") is None
    assert redis.zscore(SCHEDULE, "wake-2") is not None


@pytest.mark.parametrize("entry", [*forged.RUBBISH, b"wake-x", b"wake-1:2", b"os.system", "wake-²".encode()])
def test_an_entry_that_is_no_wake_is_set_aside_and_counted(
    redis: Redis, scheduler: WakeScheduler, entry: bytes
) -> None:
    redis.zadd(SCHEDULE, {entry: 1})

    scheduler.tick()

    assert sorted(waiting(redis)) == PERIODIC
    assert redis.zscore(SCHEDULE, entry) is None
    assert aside.counts(redis) == {"entry in the schedule that is no wake": 1}


def test_of_a_forged_job_only_its_name_is_believed(redis: Redis, scheduler: WakeScheduler) -> None:
    for id_ in ("wake-1", "jobsched-runner-wake", "jobsched-runner-tidy"):
        forged.job(redis, id_, rate_limit_key="evil", rate_limit_concurrency=1, repeats_left=9, dependency_ids="[1]",
                   origin="band-1ms", retries_left=3)
        redis.zadd(SCHEDULE, {id_: 1})

    scheduler.tick()

    assert sorted(waiting(redis)) == [*PERIODIC, b"wake-1"]
    for id_ in waiting(redis):
        fields = redis.hgetall(b"rq:job:" + id_)
        assert not {b"rate_limit_key", b"repeats_left", b"dependency_ids", b"retries_left"} & fields.keys()
        assert fields[b"failure_callback_name"] == b""
        assert fields[b"origin"] == b"wake"


@pytest.mark.parametrize("score", ["-inf", "inf", -1, 1e300])
def test_what_is_done_every_so_often_can_not_be_put_off(redis: Redis, scheduler: WakeScheduler, score: str) -> None:
    redis.zadd(SCHEDULE, dict.fromkeys(PERIODIC, score))

    scheduler._begun = True  # it has done so at its start
    scheduler.tick()

    assert sorted(waiting(redis)) == PERIODIC


def test_a_lock_that_nobody_holds_is_broken(redis: Redis, scheduler: WakeScheduler) -> None:
    for forge in (lambda: redis.set("rq:scheduler_lock", 1), lambda: redis.set("rq:scheduler_lock", 1, ex=10**6),
                  lambda: redis.sadd("rq:scheduler_lock", "x")):
        redis.flushall()
        forge()
        scheduler.tick()
        assert sorted(waiting(redis)) == PERIODIC


def test_a_lock_that_another_holds_is_left(redis: Redis, scheduler: WakeScheduler) -> None:
    redis.set("rq:scheduler_lock", "another", ex=5)

    scheduler.tick()

    assert waiting(redis) == []
    assert redis.get("rq:scheduler_lock") == b"another"


def test_a_schedule_of_another_type_is_moved_away(redis: Redis, scheduler: WakeScheduler) -> None:
    redis.set(SCHEDULE, "x")

    scheduler.tick()
    scheduler.tick()

    assert sorted(waiting(redis)) == PERIODIC
    assert redis.get("rq:aside:" + SCHEDULE) == b"x"


def test_it_shows_itself_until_it_ends(redis: Redis, scheduler: WakeScheduler) -> None:
    scheduler.tick()
    assert Board(redis).presence.alive("scheduler") == [scheduler.name]

    scheduler.rest()
    assert Board(redis).presence.alive("scheduler") == []


@pytest.mark.slow
@only_sqlite
def test_the_process_goes_on_among_rubbish_and_after_a_wipe(
    settings: Settings, ledger: object, redis: Redis, tmp_path: Path
) -> None:
    forged.everywhere(redis, ["wake"])
    redis.zadd(SCHEDULE, dict.fromkeys(forged.RUBBISH, 1))
    with engine(settings, tmp_path, ("scheduler",)) as programs:
        eventually(lambda: set(PERIODIC) <= set(waiting(redis)))
        redis.flushall()
        eventually(lambda: sorted(waiting(redis)) == PERIODIC)
        assert programs["scheduler"].process.poll() is None
        assert programs["scheduler"].end() == 0
    assert Board(redis).presence.alive("scheduler") == []
