"""What arrives: jobs of many sites, drawn from a seed, read from a file, or told by the ledger.

Sizes are in seconds. Every drawn workload fixes its load exactly: gaps are scaled to the sizes that were drawn.
"""

from __future__ import annotations

import json
import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

from jobsched import demo
from jobsched.domain import Band, JobschedError

#: Drawn workloads have this many sites, each with this many users.
SITES, USERS = 50, 3
#: Sizes of the heavy-tailed workloads lie between these bounds, in seconds.
SHORTEST_S, LONGEST_S = 0.0001, 10.0
#: The jobs that the flood drops at once.
FLOOD = 20_000


class BadWorkload(JobschedError):
    """A workload that can not be used; the message says which, where, and what would be right."""


class Arrival(NamedTuple):
    """One job. ``at`` is in seconds from the start; it says it takes ``estimate`` seconds, and takes ``length``."""

    at: float
    site: int
    user: int
    length: float
    estimate: float


@dataclass(frozen=True)
class Workload:
    """Jobs in the order of their arrival, as columns: job ``i`` is the ``i``-th entry of each.

    ``busy`` are the sites that make trouble on purpose; all others are quiet. ``workers`` is how many the load is
    meant for.
    """

    name: str
    workers: int
    at: array[float]
    site: array[int]
    user: array[int]
    length: array[float]
    estimate: array[float]
    busy: frozenset[int] = frozenset()
    weights: Mapping[int, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.at)

    @property
    def sites(self) -> list[int]:
        """Every site that has jobs."""
        return sorted(set(self.site))

    @property
    def load(self) -> float:
        """Work that arrives per worker, up to the last arrival: 1 is what the workers can just do."""
        span = self.at[-1] - self.at[0] if self.at else 0.0
        return sum(self.length) / span / self.workers if span else math.inf

    def bands(self, bands: Sequence[Band]) -> array[int]:
        """The index of each job's band, by what it says of itself. Raises BadWorkload above the last bound."""
        bounds = [band.bound_s for band in bands]
        if self.estimate and max(self.estimate) > bounds[-1]:
            raise BadWorkload(f"{self.name}: a job says {max(self.estimate):g} s, the last band ends at {bounds[-1]:g}")
        return array("b", [bisect_left(bounds, estimate) for estimate in self.estimate])

    def load_by_band(self, bands: Sequence[Band]) -> dict[str, float]:
        """Worker-seconds that arrive each second, by band name: arrival rate times mean time."""
        work = dict.fromkeys((band.name for band in bands), 0.0)
        for index, length in zip(self.bands(bands), self.length, strict=True):
            work[bands[index].name] += length
        span = (self.at[-1] - self.at[0] if self.at else 0.0) or 1.0
        return {name: seconds / span for name, seconds in work.items()}


def workload(name: str, workers: int, arrivals: Iterable[Arrival], busy: Iterable[int] = (),
             weights: Mapping[int, float] | None = None) -> Workload:
    """The workload of ``arrivals``, sorted by their time."""
    rows = sorted(arrivals)
    at, site, user, length, estimate = zip(*rows, strict=True) if rows else ((),) * 5
    return Workload(
        name, workers, array("d", at), array("l", site), array("l", user), array("d", length), array("d", estimate),
        frozenset(busy), weights or {},
    )


# Sizes


def bounded_pareto(rng: Random, alpha: float, low: float = SHORTEST_S, high: float = LONGEST_S) -> float:
    """A size with P(X > x) ~ x^-alpha between ``low`` and ``high``, by inversion."""
    return low * math.pow(1 - rng.random() * (1 - math.pow(low / high, alpha)), -1 / alpha)


def log_normal(rng: Random, mu: float = -0.38, sigma: float = 2.36, high: float = LONGEST_S) -> float:
    """A log-normal size, drawn again above ``high``. The numbers fit the mean times of functions on Azure.

    Shahrad and others: "Serverless in the Wild", USENIX ATC 2020.
    """
    while (size := rng.lognormvariate(mu, sigma)) > high:
        pass
    return size


def log_uniform(rng: Random, low: float, high: float) -> float:
    """A size that lies in each decade between ``low`` and ``high`` equally often."""
    return low * (high / low) ** rng.random()


# Drawn workloads


def steady(rng: Random, name: str, draw: Callable[[], float], *, jobs: int, workers: int, load: float) -> Workload:
    """``jobs`` of sizes from ``draw``, of any of SITES sites, in a Poisson stream."""
    sizes = [draw() for _ in range(jobs)]
    return workload(name, workers, _poisson(rng, sizes, range(1, SITES + 1), load * workers))


def flood(rng: Random, *, jobs: int = FLOOD, workers: int = 4, load: float = 0.5) -> Workload:
    """Site 1 drops ``jobs`` at once; the others bring a quiet ``load``, for as long as the flood takes to run off.

    Everybody's jobs take 1 to 100 ms, each decade equally often.
    """
    if not 0 < load < 1:
        raise BadWorkload(f"a flood needs a quiet load above 0 and below 1, so that it runs off; got {load:g}")
    dropped = [log_uniform(rng, 0.001, 0.1) for _ in range(jobs)]
    lasts_s = sum(dropped) / workers / (1 - load)
    quiet: list[float] = []
    while sum(quiet) < load * workers * lasts_s:
        quiet += [log_uniform(rng, 0.001, 0.1) for _ in range(1000)]
    flooder = [Arrival(0.0, 1, rng.randrange(USERS), size, size) for size in dropped]
    return workload("flood", workers, flooder + _poisson(rng, quiet, range(2, SITES + 1), load * workers), busy=[1])


def heavy(rng: Random, *, jobs: int, workers: int = 4, load: float = 0.8) -> Workload:
    """Site 1 brings half of the ``load`` in jobs of 0.5 to 1 s, 19 others the other half in jobs of 1 to 10 ms."""
    short = [log_uniform(rng, 0.001, 0.01) for _ in range(jobs)]
    long: list[float] = []
    while sum(long) < sum(short):
        long.append(rng.uniform(0.5, 1.0))
    half = load * workers / 2
    arrivals = _poisson(rng, short, range(2, 21), half) + _poisson(rng, long, [1], half)
    return workload("heavy", workers, arrivals, busy=[1])


def demo_batch(workers: int = 4) -> Workload:
    """The twenty jobs of ``jobsched demo``, all at once."""
    return workload("demo", workers, [Arrival(0.0, site, user, s, s) for user, site, s in demo.BATCH])


def _poisson(rng: Random, sizes: Sequence[float], sites: Sequence[int], work_per_s: float) -> list[Arrival]:
    """Jobs of these sizes in a Poisson stream that brings ``work_per_s`` worker-seconds a second."""
    gaps = [rng.expovariate(1.0) for _ in sizes]
    scale = sum(sizes) / work_per_s / sum(gaps) if sizes else 0.0
    arrivals, now = [], 0.0
    for gap, size in zip(gaps, sizes, strict=True):
        now += gap * scale
        site = sites[int(rng.random() * len(sites))]
        arrivals.append(Arrival(now, site, site * USERS + int(rng.random() * USERS), size, size))
    return arrivals


#: Drawn workloads: name -> (workers, load, draw of a whole workload from a seed).
_SIZES: Mapping[str, tuple[int, Callable[[Random], float]]] = {
    "pareto-1.0": (5, lambda rng: bounded_pareto(rng, 1.0)),
    "pareto-1.1": (5, lambda rng: bounded_pareto(rng, 1.1)),
    "pareto-1.5": (5, lambda rng: bounded_pareto(rng, 1.5)),
    "lognormal": (5, log_normal),
}
NAMES = (*_SIZES, "flood", "heavy", "demo")


def drawn(name: str, seed: int, *, jobs: int | None = None, workers: int | None = None,
          load: float | None = None) -> Workload:
    """The workload of that name from a seed; what is not given is what the name stands for.

    ``jobs`` counts the drawn jobs, in ``flood`` those that are dropped at once, in ``heavy`` the short ones.
    Raises BadWorkload for an unknown name.
    """
    rng = Random(seed)
    if name == "demo":
        return demo_batch(workers or 4)
    if name == "flood":
        return flood(rng, jobs=jobs or FLOOD, workers=workers or 4, load=load or 0.5)
    if name == "heavy":
        return heavy(rng, jobs=jobs or 50_000, workers=workers or 4, load=load or 0.8)
    if name not in _SIZES:
        raise BadWorkload(f"no workload {name!r}: must be one of {', '.join(NAMES)}, or the path of a .jsonl file")
    usual, draw = _SIZES[name]
    return steady(rng, name, lambda: draw(rng), jobs=jobs or 100_000, workers=workers or usual, load=load or 0.8)


# Recorded workloads


def from_file(path: Path, workers: int) -> Workload:
    """The jobs of a JSON-lines file, an object a line.

    It has ``at`` and ``execution_time`` in seconds, ``site`` and ``user`` as numbers, and where it differs from the
    execution time ``length``, the seconds that the job really takes.

    Raises BadWorkload, naming the line, and OSError.
    """
    arrivals = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip():
            try:
                arrivals.append(_arrival(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise BadWorkload(f"{path} line {number}: needs at, site, user and execution_time as numbers above 0, "
                                  f"optionally length: {type(error).__name__} {error}") from error
    return workload(path.stem, workers, arrivals)


def _arrival(row: Mapping[str, float]) -> Arrival:
    at, estimate = float(row["at"]), float(row["execution_time"])
    length = float(row.get("length", estimate))
    if not (math.isfinite(at) and 0 < length < math.inf and 0 < estimate < math.inf):
        raise ValueError("out of range")
    return Arrival(at, int(row["site"]), int(row["user"]), length, estimate)
