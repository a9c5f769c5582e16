"""The faults of `make chaos`: each breaks what its name says while it lasts, and nothing after its end."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.suspension import is_suspended

from tests import clocks
from tests.chaos.proxy import Proxy
from tests.chaos.servers import PostgresCluster, running_database, running_redis
from tests.chaos.troubles import TROUBLES, lacking
from tests.chaos.world import Begun, World
from tests.clocks import or_skip
from tests.support import eventually


@dataclass
class Here:
    """Servers without a stack. ``redis`` is a client that reaches Redis as the stack does."""

    world: World
    redis: Redis

    def begin(self, name: str) -> Begun:
        begun = TROUBLES[name].begin(self.world, random.Random(1))
        assert begun
        assert begun.what
        return begun


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    with (running_redis(tmp_path / "redis") as redis, Proxy(redis.socket, random.Random(1)) as proxy,
          Redis(port=proxy.port, retry=Retry(NoBackoff(), 0), socket_timeout=5) as client):
        client.mset({f"key {n}": "v" * 100 for n in range(2000)})
        yield Here(World(None, redis, proxy, None, None), client)  # type: ignore[arg-type]


def refuses_writes(redis: Redis) -> str:
    try:
        redis.set("written", "now")
    except RedisError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("name", "says"), [
    ("redis-demoted", "read only replica"), ("redis-moved", "read only replica"), ("redis-full", "maxmemory")])
def test_redis_refuses_those_who_stay_connected_until_the_fault_ends(here: Here, name: str, says: str) -> None:
    assert not refuses_writes(here.redis)
    begun = here.begin(name)
    assert says in refuses_writes(here.redis)
    assert begun.end
    begun.end()
    eventually(lambda: not refuses_writes(here.redis))
    assert here.redis.dbsize() == 2001


def test_after_a_fail_over_the_address_leads_to_the_new_master(here: Here) -> None:
    begun = here.begin("redis-moved")
    with Redis(port=here.world.redis_proxy.port) as new:
        assert not refuses_writes(new)
        assert new.dbsize() == 2001
    assert begun.end
    begun.end()
    assert not list(here.world.redis.directory.parent.glob("redis-other"))


def test_an_evicting_redis_drops_keys_and_then_no_more(here: Here) -> None:
    begun = here.begin("redis-evicting")
    eventually(lambda: refuses_writes(here.redis) or here.redis.dbsize() < 1900)
    assert begun.end
    begun.end()
    left = here.redis.dbsize()
    here.redis.mset({f"more {n}": "v" * 100 for n in range(2000)})
    assert here.redis.dbsize() >= left + 1999


def test_a_suspended_rq_is_resumed(here: Here) -> None:
    begun = here.begin("suspend")
    assert is_suspended(here.redis)
    assert begun.end
    begun.end()
    assert not is_suspended(here.redis)


def test_a_paused_redis_answers_nobody_until_the_fault_ends(here: Here) -> None:
    begun = here.begin("redis-paused")
    with Redis(port=here.world.redis_proxy.port, socket_timeout=0.3, retry=Retry(NoBackoff(), 0)) as hasty:
        with pytest.raises(RedisError):
            hasty.ping()
        assert begun.end
        begun.end()
        assert hasty.ping()


def test_a_spoilt_file_is_set_aside_and_redis_starts_empty(here: Here) -> None:
    begun = here.begin("redis-unreadable")
    with pytest.raises(RedisError):
        here.redis.ping()
    assert begun.end
    begun.end()
    assert here.redis.dbsize() == 0
    assert list(here.world.redis.directory.glob("appendonlydir.*"))


@dataclass
class Ledger:
    """A cluster with one table. ``change`` writes in the session that there is, else in a new one."""

    here: Here
    postgres: PostgresCluster
    session: psycopg.Connection[Any]

    def change(self) -> str:
        """Empty, or why the change was refused."""
        try:
            if self.session.closed:
                self.session = self.postgres.customer()
            self.session.execute("UPDATE one SET n = n + 1 WHERE pg_sleep(0.1) IS NOT NULL")
        except psycopg.Error as error:
            return str(error)
        return ""


@pytest.fixture
def ledger(here: Here) -> Iterator[Ledger]:
    with tempfile.TemporaryDirectory(prefix="jobsched-pg-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # PostgreSQL runs as another user, who may not enter pytest's own folders
        with running_database("postgres", directory) as postgres:
            assert isinstance(postgres, PostgresCluster)
            here.world.database = postgres
            session = postgres.customer()
            session.execute("CREATE TABLE one AS SELECT 1 AS n")
            found = Ledger(here, postgres, session)
            try:
                yield found
            finally:
                found.session.close()


def test_each_odd_state_of_postgresql_refuses_and_ends(ledger: Ledger) -> None:
    refusals: dict[str, Callable[[str], bool]] = {
        "read-only": lambda said: "read-only" in said,
        "crowded": lambda said: "remaining connection slots" in said,
        "statement-timeout": lambda said: "statement timeout" in said,
        "cancelled": lambda said: "user request" in said,
    }
    for name, is_right in refusals.items():
        assert not ledger.change()
        begun = ledger.here.begin(name)
        eventually(lambda right=is_right: right(ledger.change()))
        assert begun.end
        begun.end()
        ledger.session.close()  # one that began meanwhile keeps what it began with
        assert not ledger.change()
    ledger.here.begin("terminated")
    assert "terminating connection" in ledger.change()
    assert not ledger.change()


def test_what_a_world_lacks_is_said_and_left_out(here: Here, tmp_path: Path) -> None:
    assert set(lacking(here.world, TROUBLES)) == {"redis-clock"}  # of bare RQ: the time passes, and nothing is broken
    with running_database("sqlite", tmp_path) as sqlite:
        here.world.database = sqlite
        assert set(lacking(here.world, TROUBLES)) == {
            "redis-clock", "read-only", "crowded", "statement-timeout", "terminated", "cancelled"}


def test_a_clock_jumps_by_an_hour_and_is_right_again(tmp_path: Path) -> None:
    with running_redis(tmp_path / "redis", or_skip(lambda: clocks.clock(tmp_path))) as redis:
        world = World(None, redis, None, None, None)  # type: ignore[arg-type]
        begun = TROUBLES["redis-clock"].begin(world, random.Random(1))
        assert begun
        assert begun.end
        assert abs(abs(redis.client.time()[0] - time.time()) - 3600) < 60
        begun.end()
        assert abs(redis.client.time()[0] - time.time()) < 60
