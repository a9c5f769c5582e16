"""Installs, changes and reads the board's rules, and tells its state. Nothing else reads or writes either.

They are in the hash ``rules``. Beside it are two reports: ``broken`` says that the board can not be read, ``rebuilt``
that it was built again because of that. Two scripts change the hash as well, ``pause`` and ``rescore_done``; both are
called here.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from jobsched.base import aside
from jobsched.base.failpoints import failpoint
from jobsched.board.parse import number, text
from jobsched.board.rules import SHAPE, Rules, State, fingerprint, layout, numbers
from jobsched.board.store import BATCH, Part, batched, readable
from jobsched.domain import Band, BoardBroken, BoardLost, Tier
from jobsched.policy import Policy

#: What is counted when the board had to be built again.
UNREADABLE = "board that could not be read"
DAY_S = 86_400

_DIGEST = re.compile(r"[0-9a-f]{8,16}")


class Rulebook(Part):
    """What a board scores by: installed, changed while the board works, read."""

    @readable
    def read(self) -> Rules:
        """What the board scores by now. Raises BoardLost."""
        shape, *fields, built, rescoring, chosen = self._redis.hmget(self._key("rules"), [
            "shape", "epoch", "policy", "bands", "fingerprint", "layout", "built", "rescoring", "chosen"])
        if None in fields or text(shape or "") != SHAPE:
            raise BoardLost("the board has no rules, or another shape: rebuild it from SQL")
        epoch, policy, bands, fingerprint_, layout_ = (text(field) for field in fields)
        for digest in (epoch, layout_, *(() if rescoring is None else (text(rescoring),))):
            if not _DIGEST.fullmatch(digest):  # RQ takes no other as a part of a slice's id
                raise ValueError(f"the rules hold {digest[:50]!r} where they hold a digest")
        return Rules(epoch, policy, tuple(bands.split()), fingerprint_, layout_, built is not None,
                     None if rescoring is None else text(rescoring), text(chosen) == "1")

    def state(self) -> State:
        """What the board is good for now."""
        try:
            state = self.read().state
        except BoardBroken:
            return State.BROKEN
        except BoardLost:
            return State.LOST
        return state if self.broken() is None else State.BROKEN

    @readable
    def install(self, policy: Policy, bands: Sequence[Band], tiers: Sequence[Tier], *, chosen: bool = False) -> str:
        """Write the rules that the board scores by, and return its epoch. An epoch that is there stays.

        The board is then building: place all that is pending, and call :meth:`mark_built`. A board of another shape is
        wiped first; one of other bands or tiers has to be. What was placed by another policy keeps its place until
        :meth:`change_policy`. ``chosen`` as there.
        """
        rules = numbers(policy, bands, tiers) | {
            "fingerprint": fingerprint(policy, bands, tiers), "layout": layout(bands, tiers), "chosen": _flag(chosen)}
        redis, key = self._redis, self._key("rules")
        before, shape = redis.hmget(key, ["fingerprint", "shape"])
        if before is not None and text(shape or "") != SHAPE:
            self._store.wipe()
        elif before is not None and text(before) != rules["fingerprint"]:
            rules["rescoring"] = secrets.token_hex(4)
        with redis.pipeline(transaction=True) as pipe:
            pipe.hsetnx(key, "epoch", secrets.token_hex(4))
            pipe.hsetnx(key, "made_at", repr(self._store.now_s()))
            pipe.hdel(key, "built")
            pipe.hset(key, mapping=cast("Any", rules))
            pipe.hget(key, "epoch")
            return text(pipe.execute()[-1])

    @readable
    def mark_built(self) -> None:
        """Say that all that was pending has been placed since :meth:`install`."""
        self._redis.hset(self._key("rules"), "built", "1")

    @readable
    def age_s(self) -> float:
        """How long ago the board was made, in seconds. Raises BoardLost."""
        made_at = self._redis.hget(self._key("rules"), "made_at")
        if made_at is None:
            raise BoardLost("the board has no rules: rebuild it from SQL")
        now = self._store.now_s()
        age_s = now - number(made_at)
        if age_s < 0:  # a clock that was put back is not to keep it young for ever
            self._redis.hset(self._key("rules"), "made_at", repr(now))
        return max(0.0, age_s)

    @readable
    def change_policy(self, policy: Policy, bands: Sequence[Band], tiers: Sequence[Tier], *,
                      chosen: bool = False) -> int:
        """Score by another policy from now on, and all that waits again, in one pass; returns how many scores changed.

        Jobs are placed and taken as ever meanwhile. A pass that was cut off is made again by the next call; a pass that
        comes to its end is over also for other processes that make it. ``chosen`` is whether the policy was chosen at
        run time, which the board notes. Raises BoardLost when the board has other bands or tiers: then it has to be
        built again.
        """
        rules = self.read()
        if rules.layout != layout(bands, tiers):
            raise BoardLost("the board has other bands or tiers: rebuild it from SQL")
        digest = fingerprint(policy, bands, tiers)
        token = rules.rescoring
        if rules.fingerprint != digest or self._differ(numbers(policy, bands, tiers)):
            token = secrets.token_hex(4)
            self._redis.hset(self._key("rules"), mapping=cast("Any", {
                **numbers(policy, bands, tiers), "fingerprint": digest, "rescoring": token, "chosen": _flag(chosen)}))
            failpoint("rescore.begun")
        elif rules.chosen != chosen:
            self._redis.hset(self._key("rules"), "chosen", _flag(chosen))
        if token is None:
            return 0
        changed = self._rescore("jobs", "jobs")
        failpoint("rescore.lines_scored")
        changed += self._rescore("sites", "points")
        failpoint("rescore.lanes_scored")
        self._store.run("rescore_done", token)
        failpoint("rescore.done")
        return changed

    def pause_lanes(self, bands: Iterable[str]) -> int:
        """Pause exactly these lanes, by band name; returns how many changed. What is in flight goes on."""
        return int(self._store.run("pause", *bands))

    @readable
    def set_listeners(self, workers: Mapping[str, int]) -> None:
        """Note how many workers listen to each lane, by band name."""
        self._redis.hset(self._key("rules"), mapping={f"crew:{band}": str(n) for band, n in workers.items()})

    @readable
    def broken(self) -> str | None:
        """What some process could not read on the board since it was built; None: nothing."""
        key = self._key("broken")
        if self._redis.type(key) not in (b"string", b"none"):
            return "something foreign stands where reports do"
        why = self._redis.get(key)
        return None if why is None else text(why)

    def note_rebuilt(self, why: str) -> None:
        """Write down, for a day, that the board was built again because it could not be read."""
        aside.counted(self._redis, UNREADABLE, why)
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        self._redis.set(self._key("rebuilt"), f"{when} UTC: {why}", ex=DAY_S)

    def rebuilt(self) -> str | None:
        """When and why the board was last built again because it could not be read; None: not within a day."""
        key = self._key("rebuilt")
        why = self._store.or_anew(key, lambda: self._redis.get(key))
        return None if why is None else aside.printable(text(why))

    def _differ(self, right: Mapping[str, str]) -> bool:
        """Whether the numbers that the board scores by are others than they should be."""
        found = self._redis.hmget(self._key("rules"), list(right))
        return any(value is None or text(value) != right[name] for name, value in zip(right, found, strict=True))

    def _rescore(self, what: str, where: str) -> int:
        redis = self._redis
        scan: Any = redis.hscan_iter if what == "jobs" else redis.zscan_iter
        ids = (text(id_) for id_, _ in scan(self._key(where), count=BATCH))
        return sum(int(self._store.run(f"rescore_{what}", *batch)) for batch in batched(ids, BATCH))


def _flag(yes: bool) -> str:
    return "1" if yes else "0"
