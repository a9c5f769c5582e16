"""Sets aside unusable values found in Redis, counts them, and logs them without flooding the log."""

from __future__ import annotations

import logging
from contextlib import suppress

from redis import Redis
from redis.exceptions import RedisError, ResponseError

log = logging.getLogger(__name__)

#: A hash: what was set aside, and how often.
COUNTS = "rq:aside"
#: Where a key goes whose value has the wrong type, and how long it is kept there for people to look at, in seconds.
KEPT = "rq:aside:"
KEPT_S = 86_400


def counted(redis: Redis, what: str, detail: str, by: int = 1) -> None:
    """Count ``by`` more ``what`` that were refused or removed; the log says so at the first, second, fourth, eighth.

    ``detail`` says which one and why. Never raises: to count must not stop the process that goes on.
    """
    number = 0
    with suppress(RedisError):
        try:
            number = redis.hincrby(COUNTS, what, by)
        except ResponseError:  # the counts are no good themselves
            redis.delete(COUNTS)
            number = redis.hincrby(COUNTS, what, by)
    if number.bit_length() > (number - by).bit_length():
        log.warning("set aside: %s (%s; number %s of its kind)", what, detail, number or "?")


def counts(redis: Redis) -> dict[str, int]:
    """What was set aside in this Redis, and how often. Raises RedisError when Redis is away."""
    try:
        found = redis.hgetall(COUNTS)
    except ResponseError:
        return {}
    return {printable(what): int(n) for what, n in found.items() if n.isdigit()}


def move(redis: Redis, key: str, why: str) -> None:
    """Take a key of the wrong type out of the way; people find it under ``rq:aside:`` for a day. Counts it."""
    with suppress(ResponseError):  # somebody else was first
        redis.rename(key, KEPT + key)
        redis.expire(KEPT + key, KEPT_S)
        counted(redis, "key of the wrong type", f"{key}: {why}")


def printable(value: bytes | str) -> str:
    """What Redis holds as text that a terminal or a log line can be given: no control characters, no escape codes."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
