"""Installs the board's rules, changes them while the board works, and wipes them with everything placed by them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from jobsched.base.failpoints import failpoint
from jobsched.board.checked import number
from jobsched.board.reading import Reading
from jobsched.board.rules import SHAPE, fingerprint, layout, numbers
from jobsched.board.scripts import BATCH, batched, readable, text
from jobsched.domain import Band, BoardLost, Tier
from jobsched.policy import Policy


class Ruling(Reading):
    """The rules of a board."""

    @readable
    def install(self, policy: Policy, bands: Sequence[Band], tiers: Sequence[Tier], *, chosen: bool = False) -> str:
        """Write the rules that the board scores by, and return its epoch. An epoch that is there stays.

        Then place all that is pending, and call :meth:`mark_built`. A board of another shape is wiped first; one of
        other bands or tiers has to be. What was placed by another policy keeps its place until :meth:`go_by`.
        ``chosen`` as there.
        """
        rules = numbers(policy, bands, tiers) | {
            "fingerprint": fingerprint(policy, bands, tiers), "layout": layout(bands, tiers), "chosen": _mark(chosen)}
        before, shape = self.redis.hmget(self._key("rules"), ["fingerprint", "shape"])
        if before is not None and text(shape or "") != SHAPE:
            self.wipe()
        elif before is not None and text(before) != rules["fingerprint"]:
            rules["rescoring"] = secrets.token_hex(4)
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.hsetnx(self._key("rules"), "epoch", secrets.token_hex(4))
            pipe.hsetnx(self._key("rules"), "made_at", self._clock() or self._time())
            pipe.hdel(self._key("rules"), "built")
            pipe.hset(self._key("rules"), mapping=cast("Any", rules))
            pipe.hget(self._key("rules"), "epoch")
            return text(pipe.execute()[-1])

    @readable
    def go_by(self, policy: Policy, bands: Sequence[Band], tiers: Sequence[Tier], *, chosen: bool = False) -> int:
        """Score by another policy from now on, and all that waits again, in one pass; returns how many scores changed.

        Jobs are placed and taken as ever meanwhile. A pass that was cut off is made again by the next call; one that
        comes to its end is over also for others that make it. ``chosen`` is whether the policy was chosen at run time,
        which the board notes. Raises BoardLost when the board has other bands or tiers: then it has to be built again.
        """
        rules = self.rules()
        if rules.layout != layout(bands, tiers):
            raise BoardLost("the board has other bands or tiers: rebuild it from SQL")
        print_ = fingerprint(policy, bands, tiers)
        token = rules.rescoring
        if rules.fingerprint != print_ or self._differ(numbers(policy, bands, tiers)):
            token = secrets.token_hex(4)
            self.redis.hset(self._key("rules"), mapping=cast("Any", {
                **numbers(policy, bands, tiers), "fingerprint": print_, "rescoring": token, "chosen": _mark(chosen)}))
            failpoint("rescore.begun")
        elif rules.chosen != chosen:
            self.redis.hset(self._key("rules"), "chosen", _mark(chosen))
        if token is None:
            return 0
        changed = self._rescore("jobs", "jobs")
        failpoint("rescore.lines_scored")
        changed += self._rescore("sites", "points")
        failpoint("rescore.lanes_scored")
        self._run("rescore_done", token)
        failpoint("rescore.done")
        return changed

    def _differ(self, right: Mapping[str, str]) -> bool:
        """Whether the numbers that the board scores by are others than they should be."""
        found = self.redis.hmget(self._key("rules"), list(right))
        return any(value is None or text(value) != right[name] for name, value in zip(right, found, strict=True))

    def _rescore(self, what: str, where: str) -> int:
        scan: Any = self.redis.hscan_iter if what == "jobs" else self.redis.zscan_iter
        ids = (text(id_) for id_, _ in scan(self._key(where), count=BATCH))
        return sum(int(self._run(f"rescore_{what}", *batch)) for batch in batched(ids, BATCH))

    def pause_lanes(self, bands: Iterable[str]) -> int:
        """Pause exactly these lanes, by band name; returns how many changed. What is in flight goes on."""
        return int(self._run("pause", *bands))

    @readable
    def tell_crew(self, crew: Mapping[str, int]) -> None:
        """Tell how many workers listen to each lane, by band name."""
        self.redis.hset(self._key("rules"), mapping={f"crew:{band}": str(n) for band, n in crew.items()})

    @readable
    def mark_built(self) -> None:
        """Say that all that was pending has been placed since :meth:`install`."""
        self.redis.hset(self._key("rules"), "built", "1")

    @readable
    def age_s(self) -> float:
        """How long ago the board was made, in seconds."""
        made_at = self.redis.hget(self._key("rules"), "made_at")
        if made_at is None:
            raise BoardLost("the board has no rules: rebuild it from SQL")
        age_s = float(self._clock() or self._time()) - number(made_at)
        if age_s < 0:  # nobody's clock is to keep it young for ever
            self.redis.hset(self._key("rules"), "made_at", self._clock() or self._time())
        return max(0.0, age_s)

    def wipe(self, *, measured: bool = False) -> None:
        """Forget all but who is alive, who holds a lock, and what went wrong. The next script raises BoardLost.

        What was ``measured`` goes along only where that is said.
        """
        self.redis.delete(self._key("rules"))
        kept = [("alive", ""), ("lock", ""), ("rebuilt",), *([] if measured else [("load", ""), ("aims",)])]
        keep = tuple(self._key(*name).encode() for name in kept)
        for keys in batched(self.redis.scan_iter(match=self._prefix + "*", count=BATCH), BATCH):
            gone = [key for key in keys if not key.startswith(keep)]
            if gone:
                self.redis.unlink(*gone)


def _mark(yes: bool) -> str:
    return "1" if yes else "0"
