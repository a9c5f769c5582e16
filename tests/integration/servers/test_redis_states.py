"""A Redis that answers but does not serve (full, evicting, suspended, refusing) is reported everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from jobsched.board import Board
from jobsched.config import Settings, load
from jobsched.dispatch.dispatcher import Dispatcher
from jobsched.queues import redis_state
from jobsched.queues.redis_state import RedisState
from tests.integration.conftest import MakeClient
from tests.integration.requests import BROWSER, ON_SQLITE, add_job, add_user, board_of
from tests.servers import running_redis
from tests.support import create_tables, install

pytestmark = ON_SQLITE


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """The settings, with a Redis of the test's own that may be set up in any way."""
    with running_redis() as server:
        yield load({"JOBSCHED_HOME": str(tmp_path), "DATABASE_URL": settings.database_url, "REDIS_URL": server.url,
                    "SECRET_KEY": "only-for-tests"})


@pytest.fixture
def admin(own: Settings) -> Iterator[Redis]:
    """A plain client of that Redis."""
    with Redis.from_url(own.redis_url) as admin:
        yield admin


@pytest.fixture
def web(own: Settings, admin: Redis, make_client: MakeClient) -> FlaskClient:
    """The web on it: a board, a user, a dispatcher and a worker that are alive."""
    client = make_client(own)
    with client.application.app_context():
        create_tables()
    install(board_of(client), own.policy)
    board_of(client).presence.beat("dispatcher", "d-1", 60)
    for kind in ("worker", "scheduler"):
        board_of(client).presence.beat(kind, "one", 60)
    admin.sadd("rq:workers:band-1s", "rq:worker:w-1")
    admin.hset("rq:worker:w-1", "birth", "now")
    add_user(client)
    return client


def ready(web: FlaskClient) -> Any:
    return web.get("/readyz").json


def why(web: FlaskClient, job: int) -> Any:
    return web.get(f"/jobs/{job}/why").json


def fill(admin: Redis) -> None:
    """No byte more is taken."""
    admin.config_set("maxmemory-policy", "noeviction")
    admin.config_set("maxmemory", "1mb")


def test_a_full_redis_is_said_to_be_full_and_jobs_are_taken(web: FlaskClient, admin: Redis) -> None:
    before = add_job(web)["id"]
    assert ready(web)["ready"]
    fill(admin)

    job = add_job(web)["id"]

    found = ready(web)
    assert not found["ready"]
    assert "Redis is full: it uses" in found["checks"]["redis"]["detail"]
    assert "of its maxmemory of 1.0 MB" in found["checks"]["redis"]["detail"]
    assert "none is alive" not in found["checks"]["dispatcher"]["detail"]
    for id_ in (before, job):
        told = why(web, id_)
        assert [reason["code"] for reason in told["reasons"]] == ["redis_full"]
        assert "of its maxmemory of 1.0 MB" in told["reasons"][0]["text"]
        assert told["expected"] is None
    assert "it is full" in web.get("/", headers=BROWSER).text

    admin.config_set("maxmemory", "0")
    assert ready(web)["ready"]
    assert why(web, before)["reasons"][0]["code"] == "next"


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "allkeys-lfu", "volatile-lru", "volatile-ttl"])
def test_a_policy_that_evicts_is_warned_of(
    web: FlaskClient, admin: Redis, own: Settings, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert ready(web)["warnings"] == []
    admin.config_set("maxmemory-policy", policy)
    found = ready(web)
    assert found["ready"]
    assert len(found["warnings"]) == 1
    assert f"maxmemory-policy {policy}" in found["warnings"][0]
    for path in ("/", "/?part=live"):
        assert f"maxmemory-policy {policy}" in web.get(path, headers=BROWSER).text

    with web.application.app_context():
        dispatcher = Dispatcher(own, Board(admin), admin)
        dispatcher.tick()
        dispatcher._next_sweep = 0.0
        dispatcher.tick()
    assert [policy in record.getMessage() for record in caplog.records].count(True) == 1


def test_suspended_workers_are_said_to_be_suspended(web: FlaskClient, admin: Redis) -> None:
    job = add_job(web)["id"]
    expected_s = why(web, job)["expected"]["p50_s"]
    admin.set("rq:suspended", 1)
    assert not ready(web)["ready"]
    assert "rq suspend" in ready(web)["checks"]["worker"]["detail"]
    assert [reason["code"] for reason in why(web, job)["reasons"]] == ["suspended"]
    assert why(web, job)["expected"] is None
    assert "rq suspend" in web.get("/", headers=BROWSER).text

    admin.expire("rq:suspended", 600)
    told = why(web, job)
    assert told["reasons"][0]["code"] == "suspended"
    assert told["reasons"][0]["until"] is not None
    assert told["expected"]["p50_s"] >= expected_s + 590

    admin.delete("rq:suspended")
    assert ready(web)["ready"]
    assert why(web, job)["reasons"][0]["code"] == "next"


def test_a_job_in_a_queue_of_suspended_workers_is_told_so(web: FlaskClient, admin: Redis) -> None:
    job = add_job(web)["id"]
    assert board_of(web).take("task_04", 1, budget_s=1.0, lease_s=60.0)
    admin.set("rq:suspended", 1)
    assert [reason["code"] for reason in why(web, job)["reasons"]] == ["suspended", "in_queue"]


def acl(admin: Redis, *rules: str) -> None:
    admin.execute_command("ACL", "SETUSER", "default", *rules)


def password(admin: Redis) -> None:
    admin.config_set("requirepass", "changed")
    admin.client_kill_filter(_type="normal", skipme=True)


REFUSALS = {
    "a password that was changed": (password, "redis_refuses", "password"),
    "no permission for scripts": (lambda admin: acl(admin, "-evalsha", "-eval"), "redis_refuses", "permission"),
    "no permission for our keys": (lambda admin: acl(admin, "resetkeys", "~rq:*"), "redis_refuses", "permission"),
    "too few replicas": (lambda admin: admin.config_set("min-replicas-to-write", "1"), "redis_away", "replicas"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_redis_that_refuses_is_said_to_refuse_and_jobs_are_taken(
    web: FlaskClient, admin: Redis, refusal: str, caplog: pytest.LogCaptureFixture
) -> None:
    refuse, code, word = REFUSALS[refusal]
    refuse(admin)

    job = add_job(web)["id"]

    found = ready(web)["checks"]["redis"] if refusal != "no permission for scripts" else ready(web)["checks"]["worker"]
    if refusal != "no permission for scripts":
        assert not found["ok"]
        assert word in found["detail"]
    assert why(web, job)["reasons"][0]["code"] == code
    for path in ("/", "/jobs", f"/jobs/{job}", "/sites/1"):
        assert web.get(path, headers=BROWSER).status_code == 200
    assert web.get("/metrics").status_code == 200
    assert [record for record in caplog.records if record.exc_info] == []


def test_what_does_not_last_costs_nothing(web: FlaskClient, admin: Redis) -> None:
    for spoil in (lambda: admin.client_kill_filter(_type="normal", skipme=True), admin.script_flush,
                  lambda: admin.execute_command("DEBUG", "RELOAD"), lambda: admin.config_set("maxclients", "100")):
        try:
            spoil()
        except Exception as error:  # DEBUG may be forbidden
            assert "DEBUG" in str(error)  # noqa: PT017
        assert board_of(web).upkeep.known([add_job(web)["id"]])
        assert ready(web)["ready"]


def test_who_may_not_ask_for_the_state_is_told_nothing(admin: Redis) -> None:
    acl(admin, "-info", "-pttl")
    assert redis_state.read(admin) == RedisState()
