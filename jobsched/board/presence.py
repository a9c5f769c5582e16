"""Heartbeats and locks in Redis: which processes are alive, and which one alone does a job of maintenance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import TypeVar

from redis.exceptions import LockError, ResponseError

from jobsched.board.parse import text
from jobsched.board.store import LONGEST_TTL_S, Part

T = TypeVar("T")

#: A process that has been silent for so long is forgotten, in seconds.
FORGOTTEN_S = 3600.0
#: How often a process that waits for its turn looks whether it has come, in seconds.
LOOK_S = 0.1


class Presence(Part):
    """The processes of an installation, as far as they show themselves. It outlasts a lost board."""

    def beat(self, kind: str, name: str, ttl_s: float) -> None:
        """Say that a process of some kind (``dispatcher``, ``worker``) is alive, for ``ttl_s`` from now on."""
        def show() -> None:
            now = self._store.redis_now_s()
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.zadd(key, {name: now + ttl_s})
                pipe.zremrangebyscore(key, "-inf", now - FORGOTTEN_S)
                pipe.zremrangebyscore(key, now + LONGEST_TTL_S, "+inf")
                pipe.execute()

        key = self._key("alive", kind)
        self._store.or_anew(key, show)

    def leave(self, kind: str, name: str) -> None:
        """Say that a process ends on purpose."""
        key = self._key("alive", kind)
        self._store.or_anew(key, lambda: self._redis.zrem(key, name))

    def alive(self, kind: str) -> list[str]:
        """The names of the living processes of a kind."""
        key = self._key("alive", kind)
        return [text(name) for name in self._store.or_anew(key, lambda: self._store.living(kind))]

    @contextmanager
    def sole(self, what: str, ttl_s: float, wait_s: float = 0.0) -> Iterator[Callable[[], None] | None]:
        """Do ``what`` alone: no other process does it until the block ends, or ``ttl_s`` have passed.

        Gives a function that lets the ``ttl_s`` begin anew, or None when another process still does ``what`` after
        ``wait_s``.
        """
        name = self._key("lock", what)
        lock = self._redis.lock(name, timeout=ttl_s, sleep=LOOK_S, blocking=wait_s > 0, blocking_timeout=wait_s or None)

        def stay() -> None:
            with suppress(LockError, ResponseError):  # it ran out; another process may hold it now
                lock.reacquire()

        # No process takes it for longer: something else wrote it, or Redis's clock was put back.
        if not -1 < self._redis.pttl(name) <= ttl_s * 1000:
            self._redis.pexpire(name, round(ttl_s * 1000))
        # The lock's own token is made of the host's network address and clock, which containers have alike.
        held = lock.acquire(token=token_hex(16))
        try:
            yield stay if held else None
        finally:
            if held:
                with suppress(LockError, ResponseError):
                    lock.release()
