"""Redis evicts keys of the board while thousands of jobs wait: all of them still run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from redis import Redis

from jobsched.board import PREFIX, Board
from jobsched.config import Settings
from jobsched.dispatch.dispatcher import Dispatcher
from jobsched.queues.lanes import SliceJob
from jobsched.work import runner
from tests.engine import all_completed, draft, environment, people, post, runtime
from tests.servers import running_redis
from tests.support import BANDS, eventually

pytestmark = [pytest.mark.usefixtures("ledger"), pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

JOBS = 2_000
#: All of them run within so many seconds of the last loss.
DEADLINE_S = 60.0


@pytest.fixture
def server(redis_server: object) -> Iterator[str]:
    """The URL of a Redis of this test's own, whose memory it may bound."""
    with running_redis() as server:
        yield server.url


@pytest.fixture
def settings(settings: Settings, server: str) -> Settings:
    return dataclasses.replace(settings, redis_url=server, lease_s=2.0, repair_every_s=1.0)


@pytest.fixture
def redis(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """That Redis; what a worker holds is in this process."""
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    with runtime(), Redis.from_url(settings.redis_url) as client:
        yield client


@pytest.fixture
def dispatcher(settings: Settings, redis: Redis) -> Dispatcher:
    """A whole system, with 2,000 jobs of four sites in two lanes."""
    people(sites=4)
    board = Board(redis)
    dispatcher = Dispatcher(settings, board, redis)
    dispatcher.tick()
    post(settings, board, *(draft(site=1 + i % 4, user=1 + i % 4, execution_time=0.05 if i % 50 == 0 else 0.001)
                            for i in range(JOBS)))
    return dispatcher


def work(redis: Redis) -> None:
    """Run what stands in the workers' queues; a slice whose RQ job was thrown away is passed by, as a worker does."""
    for band in BANDS:
        while id_ := redis.lpop(f"rq:queue:{band.queue}"):
            if redis.exists(f"rq:job:{id_.decode()}"):
                runner.run_slice(*SliceJob.fetch(id_.decode(), connection=redis).args)
                redis.delete(f"rq:job:{id_.decode()}")


def goes_on(dispatcher: Dispatcher, redis: Redis) -> bool:
    dispatcher.tick()
    work(redis)
    return all_completed(JOBS)


def test_whichever_key_goes_in_turn_while_2000_jobs_wait_they_all_run(dispatcher: Dispatcher, redis: Redis) -> None:
    gone: set[bytes] = set()
    while left := sorted(set(redis.keys(f"{PREFIX}*")) - gone):
        redis.delete(left[0])
        gone.add(left[0])
        dispatcher.tick()
    assert len(gone) > 15

    eventually(lambda: goes_on(dispatcher, redis), DEADLINE_S)


@pytest.mark.parametrize("policy", ["allkeys-random", "allkeys-lru"])
def test_what_a_full_redis_evicts_heals_once_it_has_room(dispatcher: Dispatcher, redis: Redis, policy: str) -> None:
    redis.config_set("maxmemory-policy", policy)
    before = len(redis.keys(f"{PREFIX}*"))

    def is_evicted() -> bool:
        redis.config_set("maxmemory", max(1, int(redis.info("memory")["used_memory"]) - 20_000))
        redis.ping()
        redis.config_set("maxmemory", 0)
        return len(redis.keys(f"{PREFIX}*")) <= before - 5

    eventually(is_evicted)
    assert redis.info("stats")["evicted_keys"] >= 5

    eventually(lambda: goes_on(dispatcher, redis), DEADLINE_S)
