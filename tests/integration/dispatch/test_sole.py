"""One process sweeps at a time; a killed one does not keep the others out for long."""

from __future__ import annotations

import pytest
from redis import Redis

from jobsched.board import PREFIX, Board
from jobsched.config import Settings
from jobsched.dispatch.rebuild import Builder
from jobsched.dispatch.repair import Sweeper

pytestmark = pytest.mark.redis


@pytest.fixture
def lock(redis: Redis) -> str:
    """The key of the lock that the tests take."""
    return f"{PREFIX}lock:sweep"


def expire(redis: Redis, lock: str) -> None:
    """As when the holder was killed, and its time is over."""
    redis.delete(lock)


def test_a_second_one_is_kept_out_until_the_first_has_ended(redis: Redis) -> None:
    with Board(redis).presence.sole("sweep", 60.0) as first, Board(redis).presence.sole("sweep", 60.0) as second:
        assert first is not None
        assert second is None
    with Board(redis).presence.sole("sweep", 60.0) as third:
        assert third is not None


def test_the_time_begins_anew_when_the_holder_says_so(redis: Redis, lock: str) -> None:
    with Board(redis).presence.sole("sweep", 60.0) as stay:
        assert stay is not None
        redis.pexpire(lock, 1_000)
        stay()
        assert redis.pttl(lock) > 1_000


def test_a_holder_whose_time_is_over_leaves_its_successor_alone(redis: Redis, lock: str) -> None:
    with Board(redis).presence.sole("sweep", 60.0) as slow:
        assert slow is not None
        expire(redis, lock)
        with Board(redis).presence.sole("sweep", 60.0) as successor:
            assert successor is not None
            slow()
            with Board(redis).presence.sole("sweep", 60.0) as third:
                assert third is None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_killed_sweeper_keeps_the_others_out_for_a_few_seconds_only(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_ms: list[int] = []

    def die(_: Builder) -> int:
        left_ms.append(redis.pttl(f"{PREFIX}lock:repair"))
        raise SystemExit

    monkeypatch.setattr(Builder, "lost", die)
    with pytest.raises(SystemExit):
        Sweeper(settings, Board(redis), redis).sweep()

    # Together with a lease and the wait for a sweep less than the 15 s after which a killed worker's jobs run again.
    assert 0 < left_ms[0] < (15 - settings.lease_s - settings.repair_every_s) * 1000
