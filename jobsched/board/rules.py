"""The numbers by which the board scores, as Redis stores them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from jobsched.domain import Band, Tier
from jobsched.policy import Policy

#: The shape of what the scripts keep in Redis, as in ``lua/shared/rules.lua``. It is part of the name of every key, so
#: that versions of different shapes work side by side during an upgrade, each on a board of its own (``older.py``).
#: Whoever adds a kind of key, or a field that the other version would not read, gives the shape a new number.
SHAPE = "3"


@dataclass(frozen=True)
class Rules:
    """What the board scores by. Two boards with the same ``fingerprint`` score alike.

    Boards with the same ``layout`` differ in their policy only.
    """

    epoch: str
    policy: str
    bands: tuple[str, ...]
    fingerprint: str
    layout: str
    #: False while what was pending is still being placed.
    built: bool
    #: While what waits is being scored again: what the pass over it is known by.
    rescoring: str | None
    #: Whether the policy was chosen at run time; else it is that of some host's settings.
    chosen: bool


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
