"""Policies: the formula for a site's score, and the numbers that each policy puts into it.

    score = boost * min(points, points_cap) - share * tag - age * head_enqueued_at - size * head_execution_time

The site with the highest score of a lane is served. ``tag`` is the site's start tag in start-time fair queueing
(Goyal, Vin, Cheng: "Start-time Fair Queueing", SIGCOMM 1996), in seconds of service divided by the site's weight.

Pure. The board's scripts compute the score: ``board/lua/prelude/score.lua``, the only place that does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobsched.domain import Band, Tier, tier_of


@dataclass(frozen=True)
class Weights:
    """The formula's numbers in one lane."""

    boost: float
    share: float
    age: float
    size: float
    points_cap: float


@dataclass(frozen=True)
class Policy:
    """A named row of numbers. ``head_start`` is in lane bounds, for policies that share by tags."""

    name: str
    purpose: str
    boost: float = 0.0
    head_start: float = 0.0
    share: float = 0.0
    age: float = 0.0
    size: float = 0.0
    points_cap: float = 100.0

    def weights(self, band: Band) -> Weights:
        """The numbers for one lane: a head start becomes a boost of lane bounds per capped point."""
        boost = self.boost + self.head_start * band.bound_s / self.points_cap
        return Weights(boost, self.share, self.age, self.size, self.points_cap)


POLICIES: Mapping[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy("balanced", "active users and quick jobs first, by at most one longest job", head_start=1.0, share=1.0),
        # One point is worth one second of waiting, so nobody is passed over longer than points_cap seconds.
        Policy("priority", "the points alone, with a bound on waiting", boost=1.0, age=1.0, points_cap=1000.0),
        Policy("fair", "equal worker-seconds by weight", share=1.0),
        Policy("fifo", "first come, first served: the baseline", age=1.0),
        # A second of waiting is worth a millisecond of size: enough to end starvation some day, too little to matter.
        Policy("shortest", "least mean wait", age=0.001, size=1.0),
    )
}


def points(users_pending: Mapping[int, int], by_band: Mapping[str, int], record_capacity: int,
           tiers: Sequence[Tier], bands: Sequence[Band]) -> int:
    """A site's points: its waiting users' tiers, its waiting jobs' bands, its record capacity.

    ``users_pending`` maps each counted user who has a job waiting at the site to that user's waiting jobs
    at all sites; ``by_band`` maps band names to the site's waiting jobs.
    """
    from_users = sum(tier_of(n, tiers).weight for n in users_pending.values())
    return from_users + sum(band.weight * by_band.get(band.name, 0) for band in bands) + record_capacity
