"""The address of Redis leads to another server while connections to the old server are open."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest
from flask.testing import FlaskClient
from redis import Redis
from redis.exceptions import ConnectionError, WatchError

from jobsched.base import connections
from jobsched.base.connections import connect
from jobsched.base.redis_errors import NotServing
from jobsched.board import Board
from jobsched.config import Settings, load
from jobsched.dispatch.dispatcher import Dispatcher
from jobsched.host.embedded import free_port
from jobsched.intake import controls
from tests.integration.conftest import MakeClient
from tests.integration.requests import ON_SQLITE, add_job, add_user, board_of
from tests.servers import RedisServer, redis_binary, running_redis
from tests.support import eventually


@dataclass
class Address:
    """A socket's path that leads to one of two servers."""

    path: Path
    old: RedisServer
    new: RedisServer

    @property
    def url(self) -> str:
        return f"unix://{self.path}?db=0"

    def lead_to(self, server: RedisServer) -> None:
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(unquote(server.url.removeprefix("unix://").partition("?")[0]))

    def fail_over(self) -> None:
        """What a failover does: the old one becomes a replica, and the address leads to the new one."""
        with Redis.from_url(self.old.url) as old:
            old.replicaof("127.0.0.1", "1")
        self.lead_to(self.new)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[Address]:
    with running_redis() as old, running_redis() as new:
        address = Address(tmp_path / "address", old, new)
        address.lead_to(old)
        yield address


def holds(server: RedisServer, key: str) -> bool:
    with Redis.from_url(server.url) as client:
        return bool(client.exists(key))


@pytest.mark.parametrize("patient", [True, False])
def test_a_write_goes_where_the_address_leads_after_a_failover(address: Address, patient: bool) -> None:
    with connect(address.url, patient=patient) as redis:
        redis.set("before", 1)
        address.fail_over()
        redis.set("plain", 1)
        assert (holds(address.old, "before"), holds(address.old, "plain")) == (True, False)
        assert holds(address.new, "plain")


def test_scripts_pipelines_and_transactions_go_there_as_well(address: Address) -> None:
    def script(redis: Redis) -> None:
        redis.register_script("return redis.call('SET', KEYS[1], 1)")(keys=["key"])

    def pipeline(redis: Redis, transaction: bool) -> None:
        with redis.pipeline(transaction=transaction) as pipe:
            pipe.set("key", 1)
            pipe.execute()

    for write in (script, lambda redis: pipeline(redis, True), lambda redis: pipeline(redis, False)):
        with connect(address.url) as redis, Redis.from_url(address.old.url) as old:
            old.replicaof("NO", "ONE")
            address.lead_to(address.old)
            write(redis)
            address.fail_over()
            with Redis.from_url(address.new.url) as new:
                new.flushall()
            write(redis)
            assert holds(address.new, "key")


def test_who_only_reads_notices_that_the_server_was_demoted(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(address.url) as redis, Redis.from_url(address.new.url) as new:
        new.set("key", "of the new one")
        assert redis.get("key") is None
        address.fail_over()
        monkeypatch.setattr(connections, "ASK_ROLE_EVERY_S", 0.0)
        assert redis.get("key") == b"of the new one"


def test_who_waits_for_a_list_goes_on_at_the_new_server(address: Address) -> None:
    with connect(address.url) as redis, Redis.from_url(address.new.url) as new:
        redis.ping()
        address.fail_over()
        new.lpush("doorbell", 1)
        assert redis.blpop(["doorbell"], timeout=5) is not None


def test_an_address_is_followed_away_from_a_server_that_nobody_demoted(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(address.url) as redis:
        redis.ping()
        address.lead_to(address.new)
        monkeypatch.setattr(connections, "MOST_AGE_S", 0.0)
        redis.set("key", 1)
        assert holds(address.new, "key")


def test_a_transaction_keeps_its_connection_however_old(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_AGE_S", 0.0)
    monkeypatch.setattr(connections, "ASK_ROLE_EVERY_S", 0.0)
    with connect(address.url) as redis, redis.pipeline(transaction=True) as pipe:
        pipe.watch("key")
        redis.set("key", "by somebody else")
        pipe.multi()
        pipe.set("key", "ours")
        with pytest.raises(WatchError):
            pipe.execute()


def test_a_replica_is_refused_from_the_start(address: Address) -> None:
    address.fail_over()
    with connect(address.old.url, patient=False) as redis, pytest.raises(NotServing, match="it is a replica"):
        redis.get("key")


def test_a_sentinel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sentinel.conf").touch()
    port = free_port()
    process = subprocess.Popen(
        [redis_binary(), str(tmp_path / "sentinel.conf"), "--sentinel", "--port", str(port), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    try:
        with closing(Redis(port=port)) as plain:
            eventually(lambda: _answers(plain))
        url = f"redis://127.0.0.1:{port}/0"
        with connect(url, patient=False) as redis, pytest.raises(NotServing, match="Sentinel"):
            redis.get("key")
    finally:
        process.terminate()
        process.wait()


def _answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except ConnectionError:
        return False


@ON_SQLITE
def test_the_web_and_the_dispatcher_move_and_no_job_is_left(
    address: Address, settings: Settings, client: FlaskClient, make_client: MakeClient
) -> None:
    moving = load({"JOBSCHED_HOME": str(settings.home), "DATABASE_URL": settings.database_url,
                   "REDIS_URL": address.url, "SECRET_KEY": "only-for-tests"})
    web = make_client(moving)
    with web.application.app_context(), connect(address.url) as redis:
        dispatcher = Dispatcher(moving, Board(redis), redis)
        controls.install(Board(redis), moving)
        Board(redis).rules.mark_built()
        user = add_user(web)
        dispatcher.tick()
        address.fail_over()
        job = add_job(web, user=user)["id"]
        eventually(lambda: _ticks(dispatcher) and holds(address.new, "rq:queue:band-1s"))
        assert not holds(address.old, "rq:queue:band-1s")
        assert board_of(web).upkeep.known([job]) == {job}


def _ticks(dispatcher: Dispatcher) -> bool:
    dispatcher.tick()
    return True


@ON_SQLITE
def test_the_web_goes_on_without_a_server_that_is_a_replica_and_says_so(
    address: Address, settings: Settings, client: FlaskClient, make_client: MakeClient
) -> None:
    user = add_user(client)
    address.fail_over()
    web = make_client(load({"JOBSCHED_HOME": str(settings.home), "DATABASE_URL": settings.database_url,
                            "REDIS_URL": address.old.url, "SECRET_KEY": "only-for-tests"}))
    job = add_job(web, user=user)
    assert web.get(f"/jobs/{job['id']}/why").json["reasons"][0]["code"] == "redis_away"
    assert "replica" in web.get("/readyz").json["checks"]["redis"]["detail"]
