"""Who is alive, and who alone does what: processes say it of themselves in Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex

from redis.exceptions import LockError

from jobsched.board.scripts import LONGEST_TTL_S, Scripts, text


class Presence(Scripts):
    """The processes of an installation, as far as they show themselves."""

    def beat(self, kind: str, name: str, ttl_s: float) -> None:
        """Say that a process of some kind (``dispatcher``, ``worker``) is alive, for ``ttl_s`` from now on."""
        now = float(self._time())
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.zadd(self._key("alive", kind), {name: now + ttl_s})
            pipe.zremrangebyscore(self._key("alive", kind), "-inf", now - 3600)
            pipe.zremrangebyscore(self._key("alive", kind), now + LONGEST_TTL_S, "+inf")
            pipe.execute()

    def rest(self, kind: str, name: str) -> None:
        """Say that a process ends on purpose."""
        self.redis.zrem(self._key("alive", kind), name)

    def alive(self, kind: str) -> list[str]:
        """The names of the living processes of a kind."""
        return [text(name) for name in self._living(kind)]

    def probe(self) -> None:
        """Do nothing that Redis counts as a write. Raises RedisError when it takes none: when it is full, for one."""
        self.redis.setrange(self._key("probe"), 0, "")

    @contextmanager
    def sole(self, what: str, ttl_s: float) -> Iterator[Callable[[], None] | None]:
        """None when somebody else does ``what`` now; else nobody will until the block ends, or ``ttl_s`` have passed.

        A call of what it gives lets the ``ttl_s`` begin anew.
        """
        lock = self.redis.lock(self._key("lock", what), timeout=ttl_s, blocking=False)

        def stay() -> None:
            with suppress(LockError):  # it ran out; somebody else may hold it now
                lock.reacquire()

        # The lock's own token is made of the host's network address and clock, which containers have alike.
        held = lock.acquire(token=token_hex(16))
        if not held and self.redis.pttl(self._key("lock", what)) > 1000 * (ttl_s + LONGEST_TTL_S):
            self.redis.delete(self._key("lock", what))  # Redis's clock was put back: it would be held for as long
        try:
            yield stay if held else None
        finally:
            if held:
                with suppress(LockError):
                    lock.release()
