"""Values in Redis that no board has written: every way to spoil one key, field or member."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from redis import Redis

from jobsched.board import PREFIX

#: What stands where a number belongs, or a name.
VALUES: tuple[bytes, ...] = (
    b"garbage", b"", b"nan", b"inf", b"-inf", b"1e308", b"-1e308", b"1e400", b"-1", b"0", b"0.5", b"1e15",
    b"\xff\xfe\x00", b"9" * 400, b"x" * 10_000, b"1 1 task_01 0.001 0 1700000000.0 -", b"- - -", b"true", b"None",
    "²".encode(), b" 1", b"1;2",
)
#: What stands where the id of a site, a job or a slice belongs.
MEMBERS: tuple[bytes, ...] = (b"x", b"-1", b"0", b"1e400", b"\xff\xfe", b"", b"999", b"B77", b"A", b"9" * 40,
                             "²".encode())
SCORES = (0.0, 1.0, -1.0, float("inf"), float("-inf"), 1e308, -1e308, 4e9)
#: Names that no key of a board has.
FOREIGN = ("zzz", "site:abc", "site:-1", "line:1", "line:1:task_99", "line:999:task_01", "user:999", "tiers:999",
           "tags:1:task_99", "tags:999:task_01", "lane:task_99", "load:task_99", "slice:gone-1", "site:999", "", "::",
           "asked:x", "jobs:1")


@dataclass(frozen=True)
class Spoil:
    """One write of rubbish; ``told`` says which, for a test's report."""

    told: str
    do: Callable[[Redis], Any]


def of_types(key: bytes) -> Iterator[Spoil]:
    """The key holds something of another type."""
    def write(redis: Redis, command: str, *args: Any) -> None:
        redis.delete(key)
        redis.execute_command(command, key, *args)

    for command, *args in (("SET", "garbage"), ("RPUSH", "a", "b"), ("SADD", "a"), ("ZADD", 1, "a"),
                           ("HSET", "a", "b"), ("XADD", "*", "a", "b")):
        yield Spoil(f"{key!r} after DEL and {command}", lambda redis, c=command, a=tuple(args): write(redis, c, *a))
    yield Spoil(f"{key!r} after DEL", lambda redis: redis.delete(key))


def of_hash(redis: Redis, key: bytes) -> Iterator[Spoil]:
    """A field holds something else, is missing, or is one too many."""
    for field in [*redis.hkeys(key), b"zzz", b"999", b"\xff", b"-1"]:
        for value in VALUES:
            yield Spoil(f"HSET {key!r} {field!r} {value[:40]!r}",
                        lambda redis, f=field, v=value: redis.hset(key, f, v))
        yield Spoil(f"HDEL {key!r} {field!r}", lambda redis, f=field: redis.hdel(key, f))


def of_zset(redis: Redis, key: bytes) -> Iterator[Spoil]:
    """A member has another score, is missing, or is none of ours."""
    for member in [*redis.zrange(key, 0, -1), *MEMBERS]:
        for score in SCORES:
            yield Spoil(f"ZADD {key!r} {score} {member!r}",
                        lambda redis, m=member, s=score: redis.zadd(key, {m: s}))
        yield Spoil(f"ZREM {key!r} {member!r}", lambda redis, m=member: redis.zrem(key, m))


def of_others(redis: Redis, key: bytes) -> Iterator[Spoil]:
    """A string or the member of a set is something else."""
    if redis.type(key) == b"string":
        for value in VALUES:
            yield Spoil(f"SET {key!r} {value[:40]!r}", lambda redis, v=value: redis.set(key, v))
    if redis.type(key) in (b"set", b"none"):
        for member in MEMBERS:
            yield Spoil(f"SADD {key!r} {member!r}", lambda redis, m=member: redis.sadd(key, m))


def every(redis: Redis) -> Iterator[Spoil]:
    """Every way to spoil the board that stands in Redis now, by key."""
    for key in sorted({*redis.keys(PREFIX + "*"), (PREFIX + "broken").encode(), (PREFIX + "rebuilt").encode(),
                       (PREFIX + "lock:repair").encode()}):
        yield from of_types(key)
        if redis.type(key) == b"hash":
            yield from of_hash(redis, key)
        elif redis.type(key) == b"zset":
            yield from of_zset(redis, key)
        else:
            yield from of_others(redis, key)
    for name in FOREIGN:
        yield from of_types((PREFIX + name).encode())
