"""The numbers by which the board scores, as Redis stores them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from jobsched.domain import Band, Tier
from jobsched.policy import Policy

#: The shape of what the scripts keep in Redis, as in ``lua/prelude/rules.lua``. It is part of the name of every key, so
#: that versions of different shapes work side by side during an upgrade, each on a board of its own (``older.py``).
#: A new kind of key, or a field that the other version would not read, takes a new number.
SHAPE = "3"


class State(Enum):
    """What a board is good for, the worst first."""

    #: It has no rules, or those of another shape: no script runs. The next dispatcher builds it from SQL.
    LOST = "lost"
    #: Some process could not read a part of it. The next sweep builds it again.
    BROKEN = "broken"
    #: It has its rules since ``install``, and what is pending is still being placed. ``mark_built`` ends it.
    BUILDING = "building"
    #: It has another policy, and what waits is still being scored by it. Jobs come and go as ever meanwhile.
    RESCORING = "rescoring"
    #: All that waits stands where the rules put it.
    READY = "ready"


@dataclass(frozen=True)
class Rules:
    """What the board scores by. Two boards with the same ``fingerprint`` score alike.

    Boards with the same ``layout`` differ in their policy only.
    """

    #: Made once a board; the ids of its slices begin with it.
    epoch: str
    policy: str
    bands: tuple[str, ...]
    fingerprint: str
    layout: str
    #: False while what was pending is still being placed.
    built: bool
    #: The token of the pass that scores what waits again; None when there is none to make.
    rescoring: str | None
    #: Whether the policy was chosen at run time; else it is that of some host's settings.
    chosen: bool

    @property
    def state(self) -> State:
        """What the board is good for, as far as its rules say."""
        if not self.built:
            return State.BUILDING
        return State.READY if self.rescoring is None else State.RESCORING


def fingerprint(policy: Policy, bands: Sequence[Band], tiers: Sequence[Tier]) -> str:
    """A digest of all that decides where a job is placed."""
    return _digest(sorted(numbers(policy, bands, tiers).items()), layout(bands, tiers))


def layout(bands: Sequence[Band], tiers: Sequence[Tier]) -> str:
    """A digest of what decides which lane a job is in, and what it adds to points."""
    return _digest(SHAPE, [(band.name, band.bound_s, band.weight) for band in bands],
                   [(tier.below, tier.weight) for tier in tiers])


def numbers(policy: Policy, bands: Sequence[Band], tiers: Sequence[Tier]) -> dict[str, str]:
    """The numbers of the formula, as the scripts read them."""
    rules = {
        "shape": SHAPE,
        "policy": policy.name,
        "bands": " ".join(band.name for band in bands),
        "tiers": " ".join(f"{tier.below}:{tier.weight}" for tier in tiers if tier.below is not None),
        "top_tier": str(tiers[-1].weight),
        "share": repr(policy.share),
        "age": repr(policy.age),
        "size": repr(policy.size),
        "points_cap": repr(policy.points_cap),
    }
    for band in bands:
        rules |= {f"{band.name}:boost": repr(policy.weights(band).boost), f"{band.name}:points": str(band.weight)}
    return rules


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
