"""A guarded worker takes no commands from Redis, and cleans up RQ's keys without running any of their content."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest
from redis import Redis
from rq.exceptions import StopRequested
from rq.registry import StartedJobRegistry

from jobsched.base import aside
from jobsched.domain import Fence, Slice
from jobsched.queues import hygiene, lanes
from jobsched.queues.guarded_worker import GuardedWorker
from tests import forged
from tests.support import BANDS

QUEUES = ("wake", "band-1ms")


@pytest.fixture
def worker(redis: Redis) -> GuardedWorker:
    return GuardedWorker([lanes.queue(redis, name) for name in QUEUES], connection=redis, job_class=lanes.SliceJob,
                         queue_class=lanes.LaneQueue)


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CANARY", str(tmp_path / "canary"))
    return tmp_path / "canary"


def test_it_listens_to_nobody(redis: Redis, worker: GuardedWorker) -> None:
    worker.register_birth()
    worker.subscribe()

    assert redis.pubsub_channels() == []


def test_it_tidies_up_among_forged_jobs_and_rubbish(redis: Redis, worker: GuardedWorker, canary: Path) -> None:
    forged.everywhere(redis, QUEUES)
    forged.rubbish(redis, QUEUES)

    worker.run_maintenance_tasks()

    assert not canary.exists()
    for name in QUEUES:
        assert redis.zcard(f"rq:wip:{name}") == redis.zcard(f"rq:finished:{name}") == 0
        assert not redis.exists(f"rq:clean_registries:{name}")


@pytest.mark.parametrize(("key", "kind"), list(forged.fixed_keys(QUEUES)))
def test_it_tidies_up_whatever_type_a_key_has(redis: Redis, worker: GuardedWorker, key: str, kind: str) -> None:
    forged.everywhere(redis, QUEUES)
    forged.another_type(redis, key, kind)

    worker.run_maintenance_tasks()

    assert redis.exists(f"rq:aside:{key}")
    assert all(redis.zcard(f"rq:finished:{name}") == 0 for name in QUEUES)


def test_a_registry_whose_jobs_can_not_be_read_is_emptied_and_the_next_one_tidied(
    redis: Redis, worker: GuardedWorker
) -> None:
    redis.zadd("rq:wip:wake", {"broken:run": 1})
    redis.set("rq:job:broken", "x")
    redis.zadd("rq:finished:band-1ms", {"old": 1})

    worker.run_maintenance_tasks()

    assert redis.zcard("rq:wip:wake") == redis.zcard("rq:finished:band-1ms") == 0
    assert aside.counts(redis) == {"registry that can not be tidied up": 1}


def test_what_is_not_ours_is_neither_run_nor_ends_it(redis: Redis, worker: GuardedWorker, canary: Path) -> None:
    forged.everywhere(redis, QUEUES)
    forged.rubbish(redis, QUEUES)

    worker.work(burst=True)

    assert not canary.exists()
    assert all(redis.llen(f"rq:queue:{name}") == 0 for name in QUEUES)
    assert aside.counts(redis)["job that is not ours"] >= 1


# RQ has the handler of SIGTERM raise StopRequested, wherever the worker is


def stop(*_: Any, **__: Any) -> NoReturn:
    raise StopRequested


@pytest.mark.parametrize(("where", "what"), [(hygiene, "mend"), (StartedJobRegistry, "cleanup")])
def test_a_signal_that_comes_while_it_tidies_up_stops_it(
    worker: GuardedWorker, monkeypatch: pytest.MonkeyPatch, where: Any, what: str
) -> None:
    monkeypatch.setattr(where, what, stop)

    with pytest.raises(StopRequested):
        worker.run_maintenance_tasks()


def test_a_signal_that_comes_with_a_slice_stops_it_and_harms_no_slice(
    redis: Redis, worker: GuardedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes.enqueue(redis, BANDS[0], [Slice("s-1", 1, "task_01", 0, 0.0, (Fence(1, 0),))])
    with monkeypatch.context() as patched:
        patched.setattr(lanes.SliceJob, "fetch", stop)
        with pytest.raises(StopRequested):
            worker.dequeue_job_and_maintain_ttl(None)

    assert lanes.SliceJob.fetch("s-1", connection=redis).id == "s-1"
    assert aside.counts(redis) == {}
