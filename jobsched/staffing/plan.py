"""Decides which worker serves which lanes. Pure.

Lanes are size-interval task assignment (Harchol-Balter, Crovella, Murta: "On Choosing a Task Assignment Policy for a
Distributed Server System", 1999): a short job never waits for a long one. A worker of a longer lane takes work of
shorter lanes in turn, never the other way round.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jobsched.board import Lane
from jobsched.domain import Band

#: A lane and all longer ones get so many workers together that these are busy for at most this share of the time.
STABLE = 0.95
#: Less load than this, in worker-seconds a second, is none.
LEAST = 1e-9


@dataclass(frozen=True)
class Slot:
    """One worker: the lanes of its own, and the shorter ones that it helps."""

    own: tuple[Band, ...]
    helps: tuple[Band, ...]


class Turns:
    """In which order one worker looks at its lanes: ``order``, by band name, as of its last ``look``.

    The lane whose sites have had least comes first: start-time fair queueing among lanes, with each lane's virtual
    time (what its sites have had by weight, from all workers) for its tag. So a site gains nothing by having a lane to
    itself, which a lie about size could bring about, and no lane starves another. Of equals the shortest comes first. A
    lane in which nobody waited goes on from where the others are.
    """

    def __init__(self, slot: Slot) -> None:
        self._places = dict.fromkeys((band.name for band in (*slot.helps, *slot.own)), 0.0)  # shortest first
        self._times: dict[str, float] = {}
        self._waited: set[str] = set()
        self._now = 0.0
        self.order = [*self._places]

    def look(self, lanes: Iterable[Lane]) -> None:
        """Order the worker's lanes by what the sites of each lane have had so far."""
        seen = {lane.band: lane for lane in lanes}
        waits = {band for band in self._places if band in seen and seen[band].sites}
        for band in self._places:
            time = seen[band].virtual_s if band in seen else 0.0
            self._places[band] += max(0.0, time - self._times.get(band, time))
            self._times[band] = time
            if band in waits and band not in self._waited:
                self._places[band] = max(self._places[band], self._now)
        self._waited = waits
        if waits:
            self._now = max(self._now, min(self._places[band] for band in waits))
        self.order = sorted(self._places, key=lambda band: self._places[band] if band in waits else
                            max(self._places[band], self._now))


def slots(workers: int, bands: Sequence[Band], load: Mapping[str, float] | None = None) -> list[Slot]:
    """A slot for each of ``workers``, given to lanes in proportion to their load (worker-seconds a second, by band).

    A lane is served by its own workers and by those of longer lanes, so what counts is how many workers a lane and
    all longer ones have together: their share of the load, rounded, but never so few that their work would pile up. A
    lane without a worker of its own shares those of the next shorter lane that has any.

    Without a known load every lane is taken to get equally many jobs, so that it weighs as its bound does. With two
    workers or more, one always keeps clear of the longest lane, so that a short job finds it.
    """
    loads = [(load or {}).get(band.name, 0.0) for band in bands]
    if sum(loads) < LEAST:
        loads = [band.bound_s for band in bands]
    together = _together(workers, loads)
    starts = [0, *(i for i in range(1, len(bands)) if together[i + 1] < together[i] < workers)]
    plan = []
    for start, end in zip(starts, [*starts[1:], len(bands)], strict=True):
        own_workers = (together[start] if start else workers) - together[end]
        plan += [Slot(tuple(bands[start:end]), tuple(bands[:start]))] * own_workers
    return plan


def _together(workers: int, loads: Sequence[float]) -> list[int]:
    """How many workers each lane and all longer ones have together; 0 behind the last."""
    together = [0] * (len(loads) + 1)
    each = sum(loads) / workers
    for i in range(len(loads) - 1, 0, -1):
        rest = sum(loads[i:])
        enough = math.ceil(rest / max(each, STABLE) - 1e-9)
        keep_clear = i == len(loads) - 1 or (enough < workers and any(loads[:i]))
        most = max(1, workers - 1) if keep_clear else workers
        together[i] = min(max(1, round(rest / each), enough, together[i + 1]), most)
    return together


def every(bands: Sequence[Band]) -> list[Slot]:
    """Every slot that a plan of these lanes may hold."""
    return [Slot(tuple(bands[start:end]), tuple(bands[:start]))
            for start in range(len(bands)) for end in range(start + 1, len(bands) + 1)]


def handed_over(present: Sequence[Slot], wanted: Sequence[Slot]) -> list[Slot]:
    """The slots of ``wanted``, each for the worker who holds the slot of ``present`` at its place; both equally many.

    As few workers as possible change. Those who do change in parallel: the one with the shortest lanes gets the
    shortest that are new. So the number of workers who look at a lane goes straight from the old plan's to the new
    one's, in whatever order and however late they change: neither a lane nor a short job loses its last listener.
    """
    new = sorted((Counter(wanted) - Counter(present)).elements(), key=_reach)
    staying = Counter(present) & Counter(wanted)
    changing = []
    for seat, slot in enumerate(present):
        if staying[slot]:
            staying[slot] -= 1
        else:
            changing.append(seat)
    slots_ = list(present)
    for seat, slot in zip(sorted(changing, key=lambda seat: _reach(present[seat])), new, strict=True):
        slots_[seat] = slot
    return slots_


def told(slots: Sequence[Slot]) -> str:
    """Who serves which lanes of their own, in a line."""
    counts = Counter(tuple(band.label for band in slot.own) for slot in slots)
    return ", ".join(f"{count} for {' and '.join(labels)}" for labels, count in counts.items())


def _reach(slot: Slot) -> tuple[float, float]:
    return slot.own[-1].bound_s, slot.own[0].bound_s
