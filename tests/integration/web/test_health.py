"""``/healthz`` and ``/readyz``: whether the stack is up and ready."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from redis import Redis
from rq import Worker
from sqlalchemy import text

from jobsched.board import PREFIX
from jobsched.config import Settings
from jobsched.domain import BoardBroken
from jobsched.ledger import schema
from jobsched.ledger.models import db
from jobsched.queues import seal
from jobsched.queues.key_watch import KeyWatch
from tests.integration.conftest import MakeClient
from tests.integration.requests import board_of


def checks(client: FlaskClient) -> dict[str, bool]:
    """What is ready, after the answer was found to be of one piece."""
    response = client.get("/readyz")
    found = {name: check["ok"] for name, check in response.json["checks"].items()}
    assert response.json["ready"] == all(found.values())
    assert response.status_code == (200 if all(found.values()) else 503)
    return found


def test_a_process_that_answers_is_up(client: FlaskClient) -> None:
    assert (client.get("/healthz").status_code, client.get("/healthz").json) == (200, {"status": "ok"})


def test_each_part_that_a_job_needs_is_named(client: FlaskClient) -> None:
    assert checks(client) == {"database": True, "redis": True, "board": True, "dispatcher": False, "worker": False,
                              "scheduler": False, "secret_key": True}
    board_of(client).presence.beat("dispatcher", "disp-1", 60)
    assert checks(client) == {"database": True, "redis": True, "board": True, "dispatcher": True, "worker": False,
                              "scheduler": False, "secret_key": True}
    board_of(client).presence.beat("worker", "work-1", 60)
    assert checks(client) == {"database": True, "redis": True, "board": True, "dispatcher": True, "worker": True,
                              "scheduler": False, "secret_key": True}
    board_of(client).presence.beat("scheduler", "sched-1", 60)
    assert all(checks(client).values())
    assert client.get("/readyz").json["checks"]["dispatcher"]["detail"] == "disp-1"
    board_of(client).presence.leave("dispatcher", "disp-1")
    assert not checks(client)["dispatcher"]


def test_a_database_that_is_not_migrated_is_not_ready(
    make_client: MakeClient, settings: Settings, redis: Redis
) -> None:
    client = make_client(settings)
    for revision, says in ((None, "no tables"), ("0001", "at revision 0001, and this version needs")):
        if revision:
            schema.upgrade(settings, revision)
        assert not checks(client)["database"]
        detail = client.get("/readyz").json["checks"]["database"]["detail"]
        assert says in detail
        assert "run jobsched migrate" in detail
    schema.upgrade(settings)
    assert checks(client)["database"]


def test_a_database_of_a_newer_version_is_ready(client: FlaskClient) -> None:
    with client.application.app_context(), db.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert checks(client)["database"]


def test_a_plain_rq_worker_is_a_worker(client: FlaskClient, redis: Redis) -> None:
    worker = Worker(["band-1s"], connection=redis, name="plain")
    worker.register_birth()
    try:
        assert client.get("/readyz").json["checks"]["worker"] == {"ok": True, "detail": "plain"}
    finally:
        worker.register_death()
    assert not checks(client)["worker"]


def test_a_registration_without_a_worker_is_none(client: FlaskClient, redis: Redis) -> None:
    redis.sadd("rq:workers", "rq:worker:dead")
    assert not checks(client)["worker"]
    assert redis.sismember("rq:workers", "rq:worker:dead")  # looking at it changes nothing


def test_without_redis_nothing_is_ready_but_the_process_is_up(
    make_client: MakeClient, settings: Settings, tmp_path: Path
) -> None:
    schema.upgrade(settings)
    client = make_client(replace(settings, redis_url=f"unix://{tmp_path / 'nobody.sock'}"))
    assert checks(client) == {"database": True, "redis": False, "board": False, "dispatcher": False, "worker": False,
                              "scheduler": False, "secret_key": False}
    assert client.get("/healthz").status_code == 200


def test_a_dispatcher_with_another_secret_key_is_told_of(client: FlaskClient) -> None:
    board_of(client).presence.beat("key", seal.ours().prints[0], 60)
    assert checks(client)["secret_key"]

    board_of(client).presence.beat("key", seal.Seal(["another"]).prints[0], 60)

    assert not checks(client)["secret_key"]
    assert "set the same SECRET_KEY" in client.get("/readyz").json["checks"]["secret_key"]["detail"]


def test_workers_that_refuse_a_dispatcher_s_slices_are_told_of(client: FlaskClient) -> None:
    assert client.get("/readyz").json["warnings"] == []
    board_of(client).presence.beat("key", seal.Seal(["another"]).prints[0], 60)
    KeyWatch(board_of(client), "web-1-17").look()

    [warning] = client.get("/readyz").json["warnings"]

    assert warning.startswith("web-1-17: refuses slices")
    assert "set the same SECRET_KEY" in warning


def test_a_board_that_is_lost_or_can_not_be_read_is_not_ready(client: FlaskClient, redis: Redis) -> None:
    assert client.get("/readyz").json["checks"]["board"] == {"ok": True, "detail": "answers"}
    redis.hset(f"{PREFIX}lanes", "v:task_05", "abc")
    with pytest.raises(BoardBroken):
        board_of(client).view.lanes()  # as a worker does, which reports it
    assert "lanes" in client.get("/readyz").json["checks"]["board"]["detail"]
    assert checks(client)["board"] is False
    board_of(client).wipe()
    assert "a dispatcher builds it" in client.get("/readyz").json["checks"]["board"]["detail"]
    assert checks(client)["board"] is False


def test_readyz_says_that_the_board_was_built_again(client: FlaskClient) -> None:
    board_of(client).rules.note_rebuilt("take: abc")
    check = client.get("/readyz").json["checks"]["board"]
    assert check["ok"]
    assert "take: abc" in check["detail"]
