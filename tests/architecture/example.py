"""The worked example of docs/architecture.md: what the real scripts write for two sites, key by key."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from fakeredis import FakeRedis

from jobsched.board import PREFIX, Board
from jobsched.domain import SiteFacts, WaitingJob
from jobsched.policy import POLICIES
from tests.support import BANDS, TIERS

#: The keys that the example omits.
_LEFT_OUT = ("rules", "aims", "asked", "load", "doorbell", "slices")
_NOW = 1000.0

_TOLD = "**`site`** writes the facts of two sites, of capacity 2 and 1."
_PLACED = """\
**`place`** enqueues three jobs. Users 7 and 8 of site 1 have one job each, of 8 ms and 4 ms; user 9 of site 2 has one \
of 5 ms. An entry in `jobs` holds: site, user, band, estimate, attempt, enqueued at, slice (none yet), start tag. The \
lane ranks site 1 higher: it has 12 points (capacity 2, two users of tier 1, two jobs of 4 points), site 2 has 6, and \
a point is worth 0.0001."""
_TAKEN = """\
**`take`** claims one slice. ZPOPMAX returns site 1, and both of its jobs fit the budget of 100 ms. The slice is in \
flight under a lease of 8 s, and the site's tag in the lane grows by 12 ms divided by its weight."""
_SETTLED = """\
**`settle`** ends the slice. The worker used 20 ms: the site's tag is corrected, and the slice and its jobs are \
removed."""


def told() -> str:
    """The steps, each with the keys that it has changed, in Markdown."""
    lines: list[str] = []
    before: Mapping[str, str] = {}
    for step, after in _steps():
        changed = {name: value for name, value in after.items() if before.get(name) != value}
        width = max(map(len, changed))
        lines += [*textwrap.wrap(step, 120), "", "```"]
        lines += [f"{name:<{width}}  {value}" for name, value in changed.items()]
        lines += [f"{name} is removed" for name in before if name not in after]
        lines += ["```", ""]
        before = after
    return "\n".join(lines[:-1])


def _steps() -> Iterator[tuple[str, Mapping[str, str]]]:
    redis = FakeRedis()
    board = Board(redis)
    board.now = _NOW
    board.rules.install(POLICIES["balanced"], BANDS, TIERS)
    board.rules.mark_built()
    board.update_sites([SiteFacts(1, record_capacity=2), SiteFacts(2, record_capacity=1)])
    yield _TOLD, _keys(redis)
    board.place([WaitingJob(1, 1, 7, "task_02", 0.008, 0, 990.0), WaitingJob(2, 1, 8, "task_02", 0.004, 0, 991.0),
                 WaitingJob(3, 2, 9, "task_02", 0.005, 0, 980.0)])
    yield _PLACED, _keys(redis)
    (slice_,) = board.take("task_02", 1, budget_s=0.1, lease_s=8.0)
    yield _TAKEN, _keys(redis, slice_.id)
    board.now = _NOW + 0.02
    board.settle(slice_.id, 0.02)
    yield _SETTLED, _keys(redis, slice_.id)


def _keys(redis: Any, slice_id: str = "s-1") -> Mapping[str, str]:
    """Each key with its value; ``s-1`` stands for the slice's id, which differs in each run."""
    names = {key: key.decode().removeprefix(PREFIX) for key in sorted(redis.keys("*"))}
    return {
        name.replace(slice_id, "s-1"): _value(redis, key).replace(slice_id, "s-1")
        for key, name in names.items() if name.split(":")[0] not in _LEFT_OUT
    }


def _value(redis: Any, key: bytes) -> str:
    if redis.type(key) == b"zset":
        members = redis.zrange(key, 0, -1, withscores=True)
        return ", ".join(f"{member.decode()} at {score:.6g}" for member, score in members)
    fields = redis.hgetall(key).items()
    return ", ".join(f"{field.decode()}: {_short(value.decode())}" for field, value in fields if value)


def _short(value: str) -> str:
    """The numbers in short; the scripts write all 17 digits."""
    def number(word: str) -> str:
        try:
            return f"{float(word):.6g}"
        except ValueError:
            return word

    return " ".join(map(number, value.split()))
