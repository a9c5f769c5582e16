"""Whether a division of workers can do the work that comes, lane by lane.

A lane is served by its own workers and by those of longer lanes, so what a lane and all longer ones bring has to be
done by the workers who serve any of these; every other condition follows from that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobsched.domain import Bands
from jobsched.simulate.engine import Trace
from jobsched.simulate.workloads import Workload
from jobsched.staffing.plan import Slot


def most_loaded(load: Mapping[str, float], slots: Sequence[Slot], bands: Bands) -> float:
    """The load of each lane and all longer ones over their workers, where that is largest; stable below 1.

    ``load`` is in worker-seconds a second, by band.
    """
    return max(work / workers for work, workers in _tails(load, slots, bands))


def off_the_load(load: Mapping[str, float], slots: Sequence[Slot], bands: Bands) -> float:
    """How many workers more or less than its share of the load any lane with all longer ones has, at most.

    Of lanes that share workers only the first counts: these have no workers apart.
    """
    each = (sum(load.values()) or 1.0) / len(slots)
    firsts = {slot.own[0] for slot in slots}
    return max(abs(workers - work / each)
               for band, (work, workers) in zip(bands, _tails(load, slots, bands), strict=True) if band in firsts)


def left_waiting(load: Workload, trace: Trace, bands: Bands) -> float:
    """The share of all work that waits in one lane, at most, when the last job arrives.

    A lane whose workers can not keep up leaves the same share behind however long it goes on: of a load of 1.1 per
    worker, a tenth. In a stable lane the share tends to 0.
    """
    end = load.at[-1] if len(load) else 0.0
    left = [0.0] * len(bands)
    for index, start, length in zip(load.bands(bands), trace.start, load.length, strict=True):
        if start > end:
            left[index] += length
    return max(left) / (sum(load.length) or 1.0)


def _tails(load: Mapping[str, float], slots: Sequence[Slot], bands: Bands) -> list[tuple[float, int]]:
    """For each lane: the load of it and all longer ones, and who can do that."""
    tails = []
    for first in range(len(bands)):
        names = {band.name for band in bands[first:]}
        workers = sum(any(band.name in names for band in (*slot.own, *slot.helps)) for slot in slots)
        tails.append((sum(load.get(name, 0.0) for name in names), workers))
    return tails
