"""Whether an assignment of workers to lanes can do the work that arrives.

A lane is served by its own workers and by those of longer lanes. So the workers that serve a lane or any longer one
must do the work of all these lanes; every other condition follows from that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobsched.domain import Bands
from jobsched.simulate.engine import Trace
from jobsched.simulate.workloads import Workload
from jobsched.staffing.plan import Slot


def most_loaded(load: Mapping[str, float], slots: Sequence[Slot], bands: Bands) -> float:
    """The load per worker of a lane and all longer ones, the largest of them; below 1 the lanes are stable.

    ``load`` is in worker-seconds a second, by band.
    """
    return max(work / workers for work, workers in _tails(load, slots, bands))


def off_the_load(load: Mapping[str, float], slots: Sequence[Slot], bands: Bands) -> float:
    """The largest deviation, in workers, of a lane and all longer ones from their share of the load.

    Of lanes that share workers only the first counts, because the others have no workers of their own.
    """
    each = (sum(load.values()) or 1.0) / len(slots)
    firsts = {slot.own[0] for slot in slots}
    return max(abs(workers - work / each)
               for band, (work, workers) in zip(bands, _tails(load, slots, bands), strict=True) if band in firsts)


def left_waiting(load: Workload, trace: Trace, bands: Bands) -> float:
    """The share of all work that waits in one lane when the last job arrives, the largest of all lanes.

    A lane whose workers cannot keep up leaves the same share however long the workload lasts: with a load of 1.1 per
    worker, a tenth. In a stable lane the share tends to 0.
    """
    end = load.at[-1] if len(load) else 0.0
    left = [0.0] * len(bands)
    for index, start, length in zip(load.bands(bands), trace.start, load.length, strict=True):
        if start > end:
            left[index] += length
    return max(left) / (sum(load.length) or 1.0)


def _tails(load: Mapping[str, float], slots: Sequence[Slot], bands: Bands) -> list[tuple[float, int]]:
    """For each lane: the load of it and all longer ones, and the number of workers that can do it."""
    tails = []
    for first in range(len(bands)):
        names = {band.name for band in bands[first:]}
        workers = sum(any(band.name in names for band in (*slot.own, *slot.helps)) for slot in slots)
        tails.append((sum(load.get(name, 0.0) for name in names), workers))
    return tails
