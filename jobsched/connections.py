"""Clients of Redis, with the patience that each kind of process needs."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from redis import Redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

# Since 7, redis-py looks up its own version for each connection, to tell the server: 4 ms, and each slice makes three.
_ANONYMOUS: dict[str, Any] = {"driver_info": None} if find_spec("redis.driver_info") else {}


def connect(url: str, *, patient: bool = True, timeout_s: float | None = None) -> Redis:
    """A client for ``url`` (redis://, rediss:// or unix://). Does not connect yet.

    A patient one (workers, dispatchers) sits out a short outage. An impatient one (the web) gives up within about
    two seconds, because somebody waits for the answer and SQL is enough to give it. Both repeat a command whose
    reply was lost: only send what is safe to repeat. With a ``timeout_s`` one waits for no answer longer than that,
    and repeats nothing.
    """
    if timeout_s is not None:
        return Redis.from_url(url, socket_connect_timeout=timeout_s, socket_timeout=timeout_s,
                              retry=Retry(NoBackoff(), 0), **_ANONYMOUS)
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), 5) if patient else Retry(NoBackoff(), 1)
    return Redis.from_url(url, socket_connect_timeout=1, socket_timeout=10 if patient else 2, retry=retry,
                          health_check_interval=15, **_ANONYMOUS)
