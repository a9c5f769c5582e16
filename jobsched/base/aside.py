"""Sets aside unusable values found in Redis, counts them, and logs them without flooding the log."""

from __future__ import annotations

import logging
from contextlib import suppress

from redis import Redis
from redis.exceptions import RedisError, ResponseError

log = logging.getLogger(__name__)

#: A hash of counts, by what was set aside.
COUNTS = "rq:aside"
#: A key whose value has the wrong type is renamed with this prefix, and kept for KEPT_S seconds so that an operator can
#: look at it.
KEPT = "rq:aside:"
KEPT_S = 86_400


def counted(redis: Redis, what: str, detail: str, by: int = 1) -> None:
    """Count ``by`` more things that were refused or removed, and log the first, second, fourth, eighth ... of a kind.

    ``what`` is their kind; ``detail`` says which one it was, and why. Never raises: the caller goes on with its work.
    """
    number = 0
    with suppress(RedisError):
        try:
            number = redis.hincrby(COUNTS, what, by)
        except ResponseError:  # the hash of counts is damaged itself
            redis.delete(COUNTS)
            number = redis.hincrby(COUNTS, what, by)
    if number.bit_length() > (number - by).bit_length():
        log.warning("set aside: %s (%s; number %s of its kind)", what, detail, number or "?")


def counts(redis: Redis) -> dict[str, int]:
    """How often each kind of thing was set aside in this Redis. Raises RedisError when Redis is away."""
    try:
        found = redis.hgetall(COUNTS)
    except ResponseError:
        return {}
    return {printable(what): int(n) for what, n in found.items() if n.isdigit()}


def move(redis: Redis, key: str, why: str) -> None:
    """Rename a key of the wrong type to ``rq:aside:``..., where an operator finds it for a day, and count it."""
    with suppress(ResponseError):  # another process was first
        redis.rename(key, KEPT + key)
        redis.expire(KEPT + key, KEPT_S)
        counted(redis, "key of the wrong type", f"{key}: {why}")


def printable(value: bytes | str) -> str:
    """A value from Redis as text that is safe on a terminal and in a log line: without control characters."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
