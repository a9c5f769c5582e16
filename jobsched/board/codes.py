"""Which tasks the living workers of each lane have; during a rolling deploy they differ."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jobsched.board.parse import legible
from jobsched.board.store import LONGEST_TTL_S, Part


@dataclass(frozen=True)
class Code:
    """A version of the tasks' code, known by the ``tasks`` in it, and how many ``workers`` of a lane run it."""

    id: str
    workers: int
    tasks: frozenset[str]


def code_of(tasks: Iterable[str]) -> str:
    """What a version of the code is known by: workers with tasks of the same names run the same."""
    return hashlib.sha256("\n".join(sorted(tasks)).encode("utf-8", "surrogatepass")).hexdigest()[:8]


class Codes(Part):
    """What workers say of the tasks that they know. It stands beside their presence, and outlasts a lost board."""

    def beat(self, worker: str, bands: Iterable[str], tasks: Collection[str], ttl_s: float) -> None:
        """Say which tasks a worker knows, for the lanes that it serves, for ``ttl_s`` from now on."""
        code, now, where = code_of(tasks), self._store.redis_now_s(), self._key("alive", "code")

        def show() -> None:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.zadd(where, {f"{band} {code} {worker}": now + ttl_s for band in bands})
                pipe.zremrangebyscore(where, "-inf", now - ttl_s)
                pipe.zremrangebyscore(where, now + LONGEST_TTL_S, "+inf")
                pipe.execute()

        versions = self._key("alive", "tasks")
        self._store.or_anew(versions, lambda: self._redis.hset(versions, code, json.dumps(sorted(tasks))))
        self._store.or_anew(where, show)

    def leave(self, worker: str, bands: Iterable[str], tasks: Collection[str]) -> None:
        """Say that a worker ends on purpose."""
        code, where = code_of(tasks), self._key("alive", "code")
        self._store.or_anew(where, lambda: self._redis.zrem(where, *(f"{band} {code} {worker}" for band in bands)))

    def by_band(self) -> dict[str, list[Code]]:
        """The versions that living workers run, by the name of the band that they serve."""
        living = self._store.or_anew(self._key("alive", "code"), lambda: self._store.living("code"))
        members = (legible(member).split(" ", 2) for member in living)
        counts = Counter((words[0], words[1]) for words in members if len(words) == 3)
        tasks = self._tasks_of(sorted({code for _, code in counts}))
        found: dict[str, list[Code]] = {}
        for (band, code), workers in sorted(counts.items()):
            found.setdefault(band, []).append(Code(code, workers, tasks[code]))
        return found

    def tasks(self) -> set[str]:
        """All tasks that some living worker knows."""
        return {task for codes in self.by_band().values() for code in codes for task in code.tasks}

    def prune(self) -> None:
        """Forget the versions that no living worker runs."""
        living = {code.id for codes in self.by_band().values() for code in codes}
        versions = self._key("alive", "tasks")
        known = self._store.or_anew(versions, lambda: self._redis.hkeys(versions))
        gone = [key for key in known if legible(key) not in living]
        if gone:
            self._redis.hdel(versions, *gone)

    def _tasks_of(self, codes: Sequence[str]) -> dict[str, frozenset[str]]:
        versions = self._key("alive", "tasks")
        found = self._store.or_anew(versions, lambda: self._redis.hmget(versions, codes)) if codes else []
        return {code: _names(names) for code, names in zip(codes, found, strict=True)}


def _names(written: Any) -> frozenset[str]:
    """The names that a worker wrote; none where no worker can have written it."""
    try:
        names = json.loads(written or b"[]")
    except ValueError:
        return frozenset()
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()
