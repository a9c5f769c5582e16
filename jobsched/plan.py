"""Which worker serves which lanes. Pure.

Lanes are size-interval task assignment (Harchol-Balter, Crovella, Murta: "On Choosing a Task Assignment Policy for a
Distributed Server System", 1999): a short job never waits for a long one. A worker of a longer lane that is idle takes
work of shorter lanes, never the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobsched.domain import Band


@dataclass(frozen=True)
class Slot:
    """One worker: the lanes that it serves in turn, and the shorter ones that it helps when those are empty."""

    own: tuple[Band, ...]
    helps: tuple[Band, ...]


def slots(workers: int, bands: Sequence[Band], load: Mapping[str, float] | None = None) -> list[Slot]:
    """A slot for each of ``workers``, given to lanes in proportion to their load (worker-seconds a second, by band).

    Without a known load every lane is taken to get equally many jobs, so that it weighs as its bound does. With two
    workers or more, one always keeps clear of the longest lane, so that a short job finds it.
    """
    shares = {band.name: (load or {}).get(band.name, 0.0) for band in bands}
    if not any(shares.values()):
        shares = {band.name: band.bound_s for band in bands}
    longest = bands[-1]
    others = [band for band in bands if band is not longest]
    if workers == 1 or not others:
        return [Slot(tuple(bands), ())] * workers
    on_longest = round(workers * shares[longest.name] / sum(shares.values()))
    on_longest = min(max(on_longest, 1), workers - 1)
    shorter = slots(workers - on_longest, others, {band.name: shares[band.name] for band in others})
    return shorter + [Slot((longest,), tuple(others))] * on_longest
