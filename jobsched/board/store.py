"""What every part of the board builds on: its keys, scripts, clock and errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from itertools import islice
from typing import Any, TypeVar, cast

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from jobsched.base import redis_errors
from jobsched.base.redis_errors import Sort
from jobsched.board import scripts
from jobsched.board.rules import SHAPE
from jobsched.domain import BoardBroken, BoardLost

log = logging.getLogger(__name__)

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

#: What every key of the board begins with.
PREFIX = f"jobsched-{SHAPE}:"
#: The same of boards of older versions, the next older one first.
OLDER = ("jobsched:",)
#: No process says that it is alive, or holds a lock, for longer at a time, in seconds. An entry that says so was
#: written before Redis's clock was put back.
LONGEST_TTL_S = 120.0
#: Jobs that one call of a script takes on; more are handed over in several calls.
BATCH = 500
#: What is counted for each value that was taken off the board.
VALUES = "value on the board"
#: A report that the board can not be read ends after this, in seconds, should no sweep have mended it.
BROKEN_S = 600


class Store:
    """A board's keys in one Redis, under one prefix. ``now`` replaces Redis's clock."""

    def __init__(self, redis: Redis, *, prefix: str = PREFIX, now: float | None = None) -> None:
        self.redis = redis
        self.prefix = prefix
        self.now = now
        self._scripts = scripts.registered(redis)

    def key(self, *parts: object) -> str:
        """The name of a key."""
        return self.prefix + ":".join(str(part) for part in parts)

    def run(self, script: str, *args: Any) -> Any:
        """What a script answers. Raises BoardLost, BoardBroken, RedisError."""
        try:
            return self._scripts[script](keys=[self.prefix], args=args)
        except ResponseError as error:
            if "BOARDLOST" in str(error):
                raise BoardLost(str(error)) from error
            if not of_a_value(error):
                raise
            raise self.broken(script, error) from error

    def broken(self, what: str, error: object) -> BoardBroken:
        """Report on the board that ``what`` could not read it; returns the error to raise. The next sweep looks."""
        why = f"{what}: {error}"[:300]
        try:
            if self.redis.set(self.key("broken"), why, nx=True, ex=BROKEN_S):
                log.warning("the board can not be read: %s", why)
        except RedisError as away:
            log.debug("could not report it: %s", away)
        return BoardBroken(f"the board can not be read ({why}): the next sweep mends it from SQL")

    def or_anew(self, key: str, act: Callable[[], T]) -> T:
        """What ``act`` gives. A foreign value under ``key`` is dropped first: living processes write theirs again."""
        try:
            return act()
        except ResponseError as error:
            if not of_a_value(error):
                raise
            self.redis.unlink(key)
            return act()

    def clock(self) -> str:
        """The time as scripts are given it: empty for Redis's own."""
        return "" if self.now is None else repr(self.now)

    def now_s(self) -> float:
        """The board's time, in seconds since the epoch."""
        return self.redis_now_s() if self.now is None else self.now

    def redis_now_s(self) -> float:
        """Redis's time, in seconds since the epoch."""
        return redis_s(self.redis.time())

    def living(self, kind: str) -> list[Any]:
        """The processes of a kind that are alive; without entries that a clock put back has left in the future."""
        now = self.redis_now_s()
        return list(self.redis.zrange(self.key("alive", kind), repr(now), repr(now + LONGEST_TTL_S), byscore=True))

    def wipe(self, *, measured: bool = False) -> None:
        """See :meth:`jobsched.board.Board.wipe`."""
        self.redis.delete(self.key("rules"))
        kept = [("alive", ""), ("lock", ""), ("rebuilt",), *([] if measured else [("load", ""), ("aims",)])]
        keep = tuple(self.key(*name).encode() for name in kept)
        for keys in batched(self.redis.scan_iter(match=self.prefix + "*", count=BATCH), BATCH):
            gone = [key for key in keys if not key.startswith(keep)]
            if gone:
                self.redis.unlink(*gone)


class Part:
    """A part of a board: an object of its own, on the store that all parts share."""

    def __init__(self, store: Store) -> None:
        self._store, self._redis, self._key = store, store.redis, store.key


def readable(method: F) -> F:
    """A method that reads the board: what it finds there and can not read becomes BoardBroken, and is reported."""

    @wraps(method)
    def checked(self: Part, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except ResponseError as error:
            if not of_a_value(error):
                raise
            raise self._store.broken(method.__name__, error) from error
        except (ValueError, OverflowError) as error:
            raise self._store.broken(method.__name__, error) from error

    return cast("F", checked)


def redis_s(answer: Any) -> float:
    """What Redis answers to TIME, in seconds since the epoch."""
    seconds, micros = answer
    return float(seconds + micros / 1e6)


def of_a_value(error: ResponseError) -> bool:
    """Whether an error of Redis tells of a value in it, and not of the state that the server is in."""
    return redis_errors.sort_of(error) is Sort.BUG


def items(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Things that have the same fields, as a script takes them: the fields' names in one value, then all values."""
    names = list(rows[0]) if rows else []
    return [" ".join(names), *(row[name] for row in rows for name in names)]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """``items`` in lists of at most ``size``."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
