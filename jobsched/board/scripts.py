"""What every part of the board builds on: its keys, scripts, clock and errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, wraps
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

from redis import Redis
from redis.commands.core import Script
from redis.exceptions import RedisError, ResponseError

from jobsched.base import redis_errors
from jobsched.base.redis_errors import Sort
from jobsched.board.rules import SHAPE
from jobsched.domain import BoardBroken, BoardLost

log = logging.getLogger(__name__)

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

#: What every key of the board begins with.
PREFIX = f"jobsched-{SHAPE}:"
#: The same of boards of older versions, the next older one first.
OLDER = ("jobsched:",)
#: Nobody says that it is alive, or alone, for longer at a time, in seconds. What is said to last longer was said before
#: Redis's clock was put back.
LONGEST_TTL_S = 120.0
#: Jobs that one call of a script takes on; more are handed over in several calls.
BATCH = 500
#: What is counted for each value that was taken off the board.
VALUES = "value on the board"
#: A board that nobody reports as broken any more is whole again after this, whatever became of the report, in seconds.
BROKEN_S = 600

_LUA = Path(__file__).parent / "lua"
#: What all scripts share, in the order in which it is loaded in front of each.
_SHARED = ("keys", "rules", "events", "jobs", "score", "virtual", "limits", "lanes", "counts", "leaving")
_GUESSES = ("numbers", "pace", "guess", "told")
#: Each script, and what it needs beside that.
_SCRIPTS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("set_aside", "adopt", "drop", "site", "user", "release", "pause", "ranking", "rescore_jobs",
                     "rescore_sites", "rescore_done", "recount", "recount_user", "recount_lanes", "future", "ground",
                     "unaside", "renew"), ()),
    **dict.fromkeys(("take", "hand_on"), ("shared/flight",)),
    **dict.fromkeys(("place", "settle"), ("shared/load",)),
    "forecast/why": [f"forecast/{part}" for part in (*_GUESSES, "stands")],
    "forecast/unasked": ("forecast/gone",),
}
#: What of the forecast listens to the events of a script (``lua/shared/events.lua``). Without it all else is the same.
LISTENERS: Mapping[str, Sequence[str]] = {
    "place": [f"forecast/{part}" for part in (*_GUESSES, "ask", "placed")],
    "renew": [f"forecast/{part}" for part in (*_GUESSES, "gone", "ask", "learn", "started")],
    "settle": [f"forecast/{part}" for part in ("numbers", "pace", "gone", "ended")],
    **dict.fromkeys(("drop", "adopt", "set_aside"), ("forecast/gone",)),
}


class Scripts:
    """The scripts of a board in one Redis, under one prefix. ``now`` replaces Redis's clock."""

    def __init__(self, redis: Redis, *, prefix: str = PREFIX, now: float | None = None) -> None:
        self.redis = redis
        self._prefix = prefix
        self.now = now
        self._scripts: dict[str, Script] = {
            name: redis.register_script(_source(name, tuple(LISTENERS.get(name, ())))) for name in _SCRIPTS}

    def _run(self, script: str, *args: Any) -> Any:
        try:
            return self._scripts[script](keys=[self._prefix], args=args)
        except ResponseError as error:
            if "BOARDLOST" in str(error):
                raise BoardLost(str(error)) from error
            if not of_a_value(error):
                raise
            raise self._broken(script, error) from error

    def _broken(self, what: str, error: object) -> BoardBroken:
        """Report on the board that ``what`` could not read it; returns the error to raise. The next sweep looks."""
        why = f"{what}: {error}"[:300]
        try:
            if self.redis.set(self._key("broken"), why, nx=True, ex=BROKEN_S):
                log.warning("the board can not be read: %s", why)
        except RedisError as away:
            log.debug("could not report it: %s", away)
        return BoardBroken(f"the board can not be read ({why}): the next sweep mends it from SQL")

    def _or_anew(self, key: str, act: Callable[[], T]) -> T:
        """What ``act`` gives. Where ``key`` holds something foreign, that goes first: whoever lives says so again."""
        try:
            return act()
        except ResponseError as error:
            if not of_a_value(error):
                raise
            self.redis.unlink(key)
            return act()

    def _clock(self) -> str:
        return "" if self.now is None else repr(self.now)

    def _time(self) -> str:
        seconds, micros = self.redis.time()
        return repr(seconds + micros / 1e6)

    def _living(self, kind: str) -> list[Any]:
        """Who has said that it is alive; not what a clock that was put back has left in the future."""
        now = float(self._time())
        return list(self.redis.zrange(self._key("alive", kind), repr(now), repr(now + LONGEST_TTL_S), byscore=True))

    def _key(self, *parts: object) -> str:
        return self._prefix + ":".join(str(part) for part in parts)


@cache
def _source(name: str, listeners: tuple[str, ...]) -> str:
    """A script as Redis gets it: its file is the body of a function that ``lua/shared/last.lua`` calls."""
    before = [*(f"shared/{part}" for part in _SHARED), *_SCRIPTS[name], *listeners]
    return "".join([*map(_lua, before), "local function script()\n", _lua(name), "end\n\n", _lua("shared/last")])


@cache
def _lua(part: str) -> str:
    return (_LUA / f"{part}.lua").read_text()


def readable(method: F) -> F:
    """A method that reads the board: what it finds there and can not read becomes BoardBroken, and is reported."""

    @wraps(method)
    def checked(self: Scripts, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except ResponseError as error:
            if not of_a_value(error):
                raise
            raise self._broken(method.__name__, error) from error
        except (ValueError, OverflowError) as error:
            raise self._broken(method.__name__, error) from error

    return cast("F", checked)


def of_a_value(error: ResponseError) -> bool:
    """Whether an error of Redis tells of a value in it, and not of the state that the server is in."""
    return redis_errors.sort_of(error) is Sort.OURS


def text(value: Any) -> str:
    """What Redis answered, as a string; bytes that are no text can be told apart from any that are."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def legible(value: Any) -> str:
    """The same of what may be anything: bytes that are no text are replaced."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def flat(rows: Iterable[Iterable[Any]]) -> list[Any]:
    """All values of all rows, as a script takes them."""
    return [value for row in rows for value in row]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """``items`` in lists of at most ``size``."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
