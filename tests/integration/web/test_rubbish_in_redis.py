"""Pages and figures survive anything that RQ's keys hold."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from redis import Redis

from jobsched.config import Settings
from jobsched.queues.registered_workers import Worker, listening, workers
from tests import forged
from tests.integration.requests import BROWSER, ON_SQLITE, add_job, add_user
from tests.support import BANDS

pytestmark = ON_SQLITE

QUEUES = [band.queue for band in BANDS]
KEYS = list(forged.fixed_keys(QUEUES))


def answers(client: FlaskClient) -> None:
    """Everything that shows what RQ holds."""
    for path in ("/", "/?part=live"):
        assert client.get(path, headers=BROWSER).status_code == 200
    for path in ("/metrics", "/jobs/1/why"):
        assert client.get(path).status_code == 200
    assert client.get("/readyz").status_code in (200, 503)


@pytest.mark.parametrize("entry", forged.RUBBISH)
def test_one_bad_entry_among_the_workers_is_left_out(client: FlaskClient, redis: Redis, entry: bytes) -> None:
    add_job(client, user=add_user(client))
    redis.sadd("rq:workers", entry)
    redis.sadd("rq:workers:band-1ms", entry)

    answers(client)
    assert workers(redis) == []
    assert listening(redis, "band-1ms") == 0


def test_whatever_rq_s_keys_hold_the_pages_answer(client: FlaskClient, redis: Redis) -> None:
    add_job(client, user=add_user(client))
    forged.everywhere(redis, QUEUES)
    forged.rubbish(redis, QUEUES)

    answers(client)
    assert {worker.name for worker in workers(redis)} == {"evil", "worse", "worst"}


@pytest.mark.parametrize(("key", "kind"), KEYS, ids=[key for key, _ in KEYS])
def test_a_key_of_another_type_keeps_no_page_from_answering(
    client: FlaskClient, redis: Redis, key: str, kind: str
) -> None:
    add_job(client, user=add_user(client))
    forged.everywhere(redis, QUEUES)
    forged.another_type(redis, key, kind)

    answers(client)


def test_a_worker_s_record_that_can_not_be_read_shows_what_can(settings: Settings, redis: Redis) -> None:
    redis.sadd("rq:workers", "rq:worker:odd")
    redis.hset("rq:worker:odd", mapping={
        "state": b"\xff\x1b[31m", "queues": "band-1s,,band-10s", "pid": "²", "last_heartbeat": "13 o'clock",
        "successful_job_count": "9" * 5000, "failed_job_count": "-1", "hostname": ""})

    assert workers(redis) == [Worker("odd", "\ufffd\ufffd[31m", ("band-1s", "band-10s"), "", None, None, None)]
