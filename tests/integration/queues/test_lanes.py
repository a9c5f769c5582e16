"""A lane's RQ queue: what may be enqueued there, and how much."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from redis import Redis
from rq import Worker
from rq.exceptions import DeserializationError
from rq.job import Callback
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer
from rq.webhook import Webhook

from jobsched.domain import Fence, Slice
from jobsched.queues import lanes, seal
from jobsched.queues.lanes import PRUNE, RUN_SLICE, WAKE, NotAdmitted, SliceJob
from tests.support import BANDS

OURS = (RUN_SLICE, WAKE, PRUNE)


def ran(*_: Any) -> None:
    raise AssertionError("something of somebody else's was run")


def put(redis: Redis, func: str, *, instance: Any = None, **fields: Any) -> SliceJob:
    """A job's hash as somebody else writes it into Redis who has our key, fetched as a worker fetches it."""
    data = json.dumps([func, instance, [], {}]).encode()
    redis.hset("rq:job:evil", mapping={"data": data, "status": "queued", "origin": "band-1ms",
                                       "seal": seal.ours().of("evil", data), **fields})
    return SliceJob.fetch("evil", connection=redis, serializer=JSONSerializer)


# What may travel


@pytest.mark.parametrize("name", OURS)
def test_our_own_functions_are_admitted(redis: Redis, name: str) -> None:
    assert callable(put(redis, name).func)


@pytest.mark.parametrize("name", [
    "os.system", "builtins.eval", "builtins.exec", "subprocess.call", "eval", "system", "", " ", ".",
    "jobsched.runner.os.system", "jobsched.runner.record", "jobsched.runner.runtime", "jobsched.runner",
    "jobsched.runner.run_slice.__call__", "jobsched.runner.run_slice ", "jobsched.work.runner.run_slice",
    "jobsched.dispatch.repair.main",
    "jobsched.tasks.sleep", "Jobsched.runner.run_slice", "jobsched..runner.run_slice", "run_slice",
])
def test_any_other_function_is_refused(redis: Redis, name: str) -> None:
    with pytest.raises(NotAdmitted):
        put(redis, name).func  # noqa: B018
    with pytest.raises(NotAdmitted):
        put(redis, name).perform()


@pytest.mark.parametrize("name", [["os", "system"], {"a": 1}, 7, True])
def test_a_function_name_that_is_no_text_is_refused(redis: Redis, name: Any) -> None:
    with pytest.raises((NotAdmitted, DeserializationError, TypeError)):
        put(redis, name).func  # noqa: B018


@pytest.mark.parametrize("instance", ["os", {}, 0, "", [], False])
def test_a_method_of_an_instance_is_refused(redis: Redis, instance: Any) -> None:
    with pytest.raises(NotAdmitted):
        put(redis, "run_slice", instance=instance).func  # noqa: B018
    with pytest.raises(NotAdmitted):
        put(redis, RUN_SLICE, instance=instance).func  # noqa: B018


def test_pickles_are_not_loaded(redis: Redis) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return ran, ()

    bomb = pickle.dumps((RUN_SLICE, None, (Bomb(),), {}))
    redis.hset("rq:job:evil", mapping={"data": bomb, "status": "queued", "meta": bomb, "result": bomb})

    job = SliceJob.fetch("evil", connection=redis)  # whatever serializer a worker was started with

    with pytest.raises(NotAdmitted):
        job.func  # noqa: B018
    with pytest.raises(DeserializationError):
        job.args  # noqa: B018


@pytest.mark.parametrize("name", ["os.system", "builtins.print", RUN_SLICE, "no.such.thing"])
def test_callbacks_written_straight_into_redis_are_never_looked_up(redis: Redis, name: str) -> None:
    job = put(redis, WAKE, success_callback_name=name, failure_callback_name=name, stopped_callback_name=name)

    assert (job.success_callback, job.failure_callback, job.stopped_callback) == (None, None, None)


def test_callbacks_given_to_create_are_never_run(redis: Redis) -> None:
    job = SliceJob.create(WAKE, connection=redis, on_success=Callback(ran), on_failure=Callback(ran))
    job.save()

    fetched = SliceJob.fetch(job.id, connection=redis)

    assert (fetched.success_callback, fetched.failure_callback) == (None, None)


def test_webhooks_written_straight_into_redis_are_not_sent(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Webhook, "send", ran)
    hook = {"url": "http://127.0.0.1:9/", "job_status": "finished", "timeout": 1}
    job = put(redis, WAKE, webhooks=json.dumps([hook]))

    job.send_webhooks("finished")


def test_a_worker_fails_what_is_not_admitted_and_does_not_run_it(redis: Redis) -> None:
    plain = RQJob.create("tests.integration.queues.test_lanes.ran", connection=redis, serializer=JSONSerializer,
                         origin="band-1ms", on_failure=Callback(ran))
    lanes.queue(redis, "band-1ms").enqueue_job(plain)

    worker = Worker([lanes.queue(redis, "band-1ms")], connection=redis, job_class=SliceJob, serializer=JSONSerializer)
    worker.work(burst=True)

    failed = SliceJob.fetch(plain.id, connection=redis)
    assert failed.get_status() == "failed"
    assert "NotAdmitted" in str(failed.latest_result().exc_string)  # type: ignore[union-attr]


# How much of it


@pytest.mark.parametrize(
    ("band", "workers", "budget_s", "slices"),
    [
        # max(1, ceil(workers * 0.15 / max(bound, budget)))
        (0, 0, 0.1, 1),
        (0, 1, 0.1, 2),  # 0.15 / 0.1 = 1.5
        (0, 4, 0.1, 6),  # 0.6 / 0.1
        (2, 4, 0.1, 6),
        (0, 4, 0.01, 60),  # 0.6 / 0.01
        (2, 4, 0.01, 6),  # the bound is longer than the budget
        (3, 4, 0.1, 1),  # 0.6 / 1
        (3, 8, 0.1, 2),  # 1.2 / 1
        (4, 4, 0.1, 1),
        (4, 100, 0.1, 2),  # 15 / 10
    ],
)
def test_a_window_keeps_the_lanes_workers_busy_and_no_more(band: int, workers: int, budget_s: float,
                                                           slices: int) -> None:
    assert lanes.window(BANDS[band], workers, budget_s) == slices


def slice_(id_: str, jobs: int = 1, site: int = 1, band: str = "task_01") -> Slice:
    return Slice(id_, site, band, 3, 1_700_000_000.25, tuple(Fence(i + 1, i % 2) for i in range(jobs)))


def test_room_is_what_the_windows_leave(redis: Redis) -> None:
    redis.sadd("rq:workers:band-1ms", *(f"rq:worker:{i}" for i in range(4)))
    lanes.enqueue(redis, BANDS[0], [slice_(f"a-{i}") for i in range(4)])
    lanes.enqueue(redis, BANDS[4], [slice_(f"b-{i}", band="task_05") for i in range(3)])

    room = lanes.room(redis, BANDS, 0.1)
    assert {band: lane.slices for band, lane in room.items()} == {
        "task_01": 2, "task_02": 1, "task_03": 1, "task_04": 1, "task_05": 0}


def test_a_slice_travels_as_json_with_ids_only(redis: Redis) -> None:
    lanes.enqueue(redis, BANDS[0], [slice_("e-1", jobs=3, site=7)])

    assert redis.lrange("rq:queue:band-1ms", 0, -1) == [b"e-1"]
    job = SliceJob.fetch("e-1", connection=redis)
    assert json.loads(job.data) == [RUN_SLICE, None, ["e-1", 7, "task_01", 3, 1_700_000_000.25,
                                                      [[1, 0], [2, 1], [3, 0]]], {}]
    assert (job.timeout, job.result_ttl, job.failure_ttl) == (-1, 0, lanes.FAILURE_TTL_S)
    assert job.retries_left is None


def test_slices_stand_in_the_queue_in_the_order_they_were_handed_over(redis: Redis) -> None:
    lanes.enqueue(redis, BANDS[0], [slice_(f"a-{i}") for i in range(5)])

    assert redis.lrange("rq:queue:band-1ms", 0, -1) == [f"a-{i}".encode() for i in range(5)]


def test_nothing_to_enqueue_is_nothing(redis: Redis) -> None:
    lanes.enqueue(redis, BANDS[0], [])

    assert redis.keys("rq:job:*") == []


def test_the_second_copy_of_a_slice_finds_no_job_any_more(redis: Redis) -> None:
    """A reply that was lost is asked for again, and a slice stands in the queue twice."""
    one = slice_("a-1")
    lanes.enqueue(redis, BANDS[0], [one])
    lanes.enqueue(redis, BANDS[0], [one])

    first = lanes.queue(redis, "band-1ms").dequeue_any(
        [lanes.queue(redis, "band-1ms")], None, connection=redis, job_class=SliceJob, serializer=JSONSerializer)
    assert first is not None
    first[0].delete(remove_from_queue=False)  # as RQ does with result_ttl 0

    assert lanes.queue(redis, "band-1ms").dequeue_any(
        [lanes.queue(redis, "band-1ms")], None, connection=redis, job_class=SliceJob, serializer=JSONSerializer) is None


def test_a_slice_waits_in_its_queue_until_it_is_popped(redis: Redis) -> None:
    lanes.enqueue(redis, BANDS[0], [slice_("a-1"), slice_("a-2")])

    assert lanes.waits_in_queue(redis, BANDS[0], "a-2")
    assert not lanes.waits_in_queue(redis, BANDS[1], "a-2")

    redis.lpop("rq:queue:band-1ms")
    assert not lanes.waits_in_queue(redis, BANDS[0], "a-1")
