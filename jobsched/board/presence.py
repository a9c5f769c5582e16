"""Heartbeats and locks in Redis: which processes are alive, and which one alone does a job of maintenance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import TypeVar

from redis.exceptions import LockError, ResponseError

from jobsched.board.scripts import LONGEST_TTL_S, Scripts, text

T = TypeVar("T")

#: Who has been silent for so long is forgotten, in seconds.
FORGOTTEN_S = 3600.0
#: How often somebody who waits for its turn looks whether it has come, in seconds.
LOOK_S = 0.1


class Presence(Scripts):
    """The processes of an installation, as far as they show themselves."""

    def beat(self, kind: str, name: str, ttl_s: float) -> None:
        """Say that a process of some kind (``dispatcher``, ``worker``) is alive, for ``ttl_s`` from now on."""
        def show() -> None:
            now = float(self._time())
            with self.redis.pipeline(transaction=False) as pipe:
                pipe.zadd(key, {name: now + ttl_s})
                pipe.zremrangebyscore(key, "-inf", now - FORGOTTEN_S)
                pipe.zremrangebyscore(key, now + LONGEST_TTL_S, "+inf")
                pipe.execute()

        key = self._key("alive", kind)
        self._or_anew(key, show)

    def rest(self, kind: str, name: str) -> None:
        """Say that a process ends on purpose."""
        key = self._key("alive", kind)
        self._or_anew(key, lambda: self.redis.zrem(key, name))

    def alive(self, kind: str) -> list[str]:
        """The names of the living processes of a kind."""
        return [text(name) for name in self._or_anew(self._key("alive", kind), lambda: self._living(kind))]

    def probe(self) -> None:
        """Do nothing that Redis counts as a write. Raises RedisError when it takes none: when it is full, for one."""
        self.redis.setrange(self._key("probe"), 0, "")

    @contextmanager
    def sole(self, what: str, ttl_s: float, wait_s: float = 0.0) -> Iterator[Callable[[], None] | None]:
        """None when somebody else does ``what`` now; else nobody will until the block ends, or ``ttl_s`` have passed.

        A call of what it gives lets the ``ttl_s`` begin anew. Waits for up to ``wait_s`` for the others to end.
        """
        name = self._key("lock", what)
        lock = self.redis.lock(name, timeout=ttl_s, sleep=LOOK_S, blocking=wait_s > 0, blocking_timeout=wait_s or None)

        def stay() -> None:
            with suppress(LockError, ResponseError):  # it ran out; somebody else may hold it now
                lock.reacquire()

        # Nobody takes it for longer: something else wrote it, or Redis's clock was put back.
        if not -1 < self.redis.pttl(name) <= ttl_s * 1000:
            self.redis.pexpire(name, round(ttl_s * 1000))
        # The lock's own token is made of the host's network address and clock, which containers have alike.
        held = lock.acquire(token=token_hex(16))
        try:
            yield stay if held else None
        finally:
            if held:
                with suppress(LockError, ResponseError):
                    lock.release()
