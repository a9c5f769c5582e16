"""What every part of the board stands on: its keys, its scripts, its clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from redis import Redis
from redis.commands.core import Script
from redis.exceptions import ResponseError

from jobsched.domain import BoardLost

T = TypeVar("T")

PREFIX = "jobsched:"
#: Nobody says that it is alive, or alone, for longer at a time, in seconds. What is said to last longer was said before
#: Redis's clock was put back.
LONGEST_TTL_S = 120.0
#: Jobs that one call of a script takes on; more are handed over in several calls.
BATCH = 500

_LUA = Path(__file__).parent / "lua"
#: Each script, and what is loaded in front of it.
_PRELUDES = {
    **dict.fromkeys(("set_aside", "adopt", "drop", "site", "user", "release", "pause", "rescore", "recount", "future",
                     "recount_lanes"), ("lib",)),
    **dict.fromkeys(("take", "hand_on"), ("lib", "flight")),
    "settle": ("lib", "pace"),
    **dict.fromkeys(("place", "renew"), ("lib", "pace", "expect", "learn")),
    **dict.fromkeys(("why", "prospect"), ("lib", "pace", "expect")),
}


class Scripts:
    """The scripts of a board in one Redis, under one prefix. ``now`` replaces Redis's clock."""

    def __init__(self, redis: Redis, *, prefix: str = PREFIX, now: float | None = None) -> None:
        self.redis = redis
        self._prefix = prefix
        self.now = now
        self._scripts: dict[str, Script] = {
            name: redis.register_script("".join((_LUA / f"{part}.lua").read_text() for part in (*preludes, name)))
            for name, preludes in _PRELUDES.items()
        }

    def _run(self, script: str, *args: Any) -> Any:
        try:
            return self._scripts[script](keys=[self._prefix], args=args)
        except ResponseError as error:
            if "BOARDLOST" in str(error):
                raise BoardLost(str(error)) from error
            raise

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


def text(value: Any) -> str:
    """What Redis answered, as a string."""
    return value.decode() if isinstance(value, bytes) else str(value)


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
