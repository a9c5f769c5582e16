"""The state of a Redis that answers: what keeps it from serving, and what deserves a warning."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError
from rq.suspension import WORKERS_SUSPENDED

#: The board's scripts and RQ need it.
OLDEST = (6, 2)


@dataclass(frozen=True)
class RedisState:
    """What a Redis says of itself; what it does not say is None.

    ``suspended_s`` is how long ``rq suspend`` still keeps the workers from starting anything: infinite until
    ``rq resume``, None when it does not.
    """

    version: str | None = None
    used_bytes: int | None = None
    most_bytes: int | None = None
    policy: str | None = None
    suspended_s: float | None = None

    @property
    def lack(self) -> str | None:
        """Why it can not serve at all, None when it can."""
        found = re.match(r"(\d+)\.(\d+)", self.version or "")
        if found and (int(found[1]), int(found[2])) < OLDEST:
            return f"Redis is too old: it is {self.version}, and {OLDEST[0]}.{OLDEST[1]} or newer is needed"
        return None

    @property
    def fullness(self) -> str:
        """For a Redis that refuses writes for want of memory: how full it is, and what to do."""
        much = f": it uses {_mb(self.used_bytes)} of its maxmemory of {_mb(self.most_bytes)}" if self.most_bytes else ""
        return f"Redis is full{much}, and takes no writes: raise its maxmemory, or free memory"

    @property
    def warnings(self) -> list[str]:
        """What does not keep it from serving now, but should be changed."""
        if self.policy in (None, "noeviction"):
            return []
        bound = f"its maxmemory of {_mb(self.most_bytes)} is" if self.most_bytes else "a maxmemory is set and"
        warning = (f"Redis evicts keys when {bound} reached (maxmemory-policy {self.policy}): what it drops of the "
                   "board is mended from SQL, and work waits for that; set maxmemory-policy noeviction")
        return [warning]

    @property
    def suspension(self) -> str | None:
        """That the workers are suspended, and for how long; None when they are not."""
        if self.suspended_s is None:
            return None
        ends = "" if math.isinf(self.suspended_s) else f" for {math.ceil(self.suspended_s)} s more"
        return f"suspended{ends} (rq suspend): no worker starts anything until that ends, or rq resume"


def read(redis: Redis) -> RedisState:
    """The state of a Redis, in one round trip. Raises RedisError when it does not answer."""
    with redis.pipeline(transaction=False) as pipe:
        pipe.info("server")
        pipe.info("memory")
        pipe.pttl(WORKERS_SUSPENDED)
        server, memory, left_ms = pipe.execute(raise_on_error=False)
    for answer in (server, memory, left_ms):
        if isinstance(answer, Exception) and not isinstance(answer, ResponseError):
            raise answer
    server, memory = _said(server), _said(memory)
    return RedisState(
        version=server.get("redis_version"), used_bytes=memory.get("used_memory"), most_bytes=memory.get("maxmemory"),
        policy=memory.get("maxmemory_policy"), suspended_s=_left_s(left_ms),
    )


def _said(answer: Any) -> Mapping[str, Any]:
    """What INFO told; nothing where we may not ask."""
    return answer if isinstance(answer, Mapping) else {}


def _left_s(left_ms: Any) -> float | None:
    if not isinstance(left_ms, int) or left_ms == -2:
        return None
    return math.inf if left_ms < 0 else left_ms / 1000


def _mb(size: int | None) -> str:
    return "an unknown size" if size is None else f"{size / 1e6:.1f} MB"
