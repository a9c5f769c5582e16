"""What jobsched reports of a Redis, from Redis's own report."""

from __future__ import annotations

import pytest

from jobsched.queues.redis_state import RedisState


@pytest.mark.parametrize(("version", "old"), [("6.0.20", True), ("5.0.14", True), ("6.2.0", False), ("7.0.15", False),
                                              ("10.1", False), ("", False)])
def test_a_redis_that_is_too_old_is_said_to_be(version: str, old: bool) -> None:
    assert bool(RedisState(version=version).lack) == old
