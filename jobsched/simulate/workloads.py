"""Workloads: the jobs of many sites, drawn from a seed. See also ``files`` and ``history``.

Sizes are in seconds.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import NormalDist
from typing import NamedTuple

from jobsched.domain import Bands, JobschedError
from jobsched.host import demo

#: Drawn workloads have this many sites, each with this many users.
SITES, USERS = 50, 3
#: Sizes of the heavy-tailed workloads lie between these bounds, in seconds.
SHORTEST_S, LONGEST_S = 0.0001, 10.0
#: The jobs that site 1 submits at once in the flood.
FLOOD = 20_000


#: How site 1 tries to get more than its share of ten.
CONTESTS, CONTESTANTS = ("honest", "split", "lie-short", "lie-long"), 10


class BadWorkload(JobschedError):
    """A workload that cannot be used; the message says which, where, and what would be right."""


class Arrival(NamedTuple):
    """One job. ``at`` is in seconds from the start. It states ``estimate`` seconds, and really takes ``length``."""

    at: float
    site: int
    user: int
    length: float
    estimate: float


@dataclass(frozen=True)
class Workload:
    """Jobs in the order of their arrival, as columns: job ``i`` is the ``i``-th entry of each.

    ``busy`` are the sites that flood or try to gain; all others are quiet. ``workers`` is the number of workers for
    which the load is meant.
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
        """The work per worker and second, up to the last arrival: the workers can just do 1."""
        span = self.at[-1] - self.at[0] if self.at else 0.0
        return sum(self.length) / span / self.workers if span else math.inf

    def bands(self, bands: Bands) -> array[int]:
        """The index of each job's band, by its estimate. Raises BadWorkload above the last bound."""
        bounds = [band.bound_s for band in bands]
        if self.estimate and max(self.estimate) > bounds[-1]:
            raise BadWorkload(f"{self.name}: a job says {max(self.estimate):g} s, the last band ends at {bounds[-1]:g}")
        return array("b", [bisect_left(bounds, estimate) for estimate in self.estimate])

    def load_by_band(self, bands: Bands) -> dict[str, float]:
        """Worker-seconds that arrive each second, by band name: arrival rate times mean time."""
        work = dict.fromkeys(bands.names, 0.0)
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


@dataclass(frozen=True)
class Sizes:
    """A distribution of job sizes, in seconds, and its mean."""

    draw: Callable[[Random], float]
    mean: float


def bounded_pareto(alpha: float, low: float = SHORTEST_S, high: float = LONGEST_S) -> Sizes:
    """Sizes with P(X > x) ~ x^-alpha between ``low`` and ``high``, by inversion."""
    tail = (low / high) ** alpha
    if alpha == 1:
        mean = low * math.log(high / low) / (1 - low / high)
    else:
        mean = low**alpha / (1 - tail) * alpha / (alpha - 1) * (low ** (1 - alpha) - high ** (1 - alpha))
    return Sizes(lambda rng: float(low * (1 - rng.random() * (1 - tail)) ** (-1 / alpha)), mean)


def log_normal(mu: float = -0.38, sigma: float = 2.36, high: float = LONGEST_S) -> Sizes:
    """Log-normal sizes, drawn again above ``high``. The numbers fit the mean times of functions on Azure.

    Shahrad and others: "Serverless in the Wild", USENIX ATC 2020.
    """

    def draw(rng: Random) -> float:
        while (size := rng.lognormvariate(mu, sigma)) > high:
            pass
        return size

    normal, cut = NormalDist(), (math.log(high) - mu) / sigma
    return Sizes(draw, math.exp(mu + sigma**2 / 2) * normal.cdf(cut - sigma) / normal.cdf(cut))


def log_uniform(low: float, high: float) -> Sizes:
    """Sizes that lie in each decade between ``low`` and ``high`` equally often."""
    decades = math.log(high / low)
    return Sizes(lambda rng: low * math.exp(decades * rng.random()), (high - low) / decades)


def uniform(low: float, high: float) -> Sizes:
    """Sizes between ``low`` and ``high``."""
    return Sizes(lambda rng: rng.uniform(low, high), (low + high) / 2)


# Drawn workloads


def steady(rng: Random, name: str, sizes: Sizes, *, jobs: int, workers: int, load: float) -> Workload:
    """``jobs`` of SITES sites, in a Poisson stream with exactly this ``load``, however long the jobs are."""
    drawn_s = [sizes.draw(rng) for _ in range(jobs)]
    span_s = sum(drawn_s) / workers / load
    return workload(name, workers, _poisson(rng, drawn_s, range(1, SITES + 1), span_s))


def flood(rng: Random, *, jobs: int = FLOOD, workers: int = 4, load: float = 0.5) -> Workload:
    """Site 1 submits ``jobs`` at once; the others bring a quiet ``load``, until the flood is done.

    All jobs take 1 to 100 ms, each decade equally often.
    """
    if not 0 < load < 1:
        raise BadWorkload(f"a flood needs a quiet load above 0 and below 1, so that it runs off; got {load:g}")
    sizes = log_uniform(0.001, 0.1)
    dropped = [Arrival(0.0, 1, rng.randrange(USERS), size, size) for size in map(sizes.draw, [rng] * jobs)]
    span_s = jobs * sizes.mean / workers / (1 - load)
    quiet = round(load * workers * span_s / sizes.mean)
    others = _poisson(rng, [sizes.draw(rng) for _ in range(quiet)], range(2, SITES + 1), span_s)
    return workload("flood", workers, dropped + others, busy=[1])


def heavy(rng: Random, *, jobs: int, workers: int = 4, load: float = 0.8) -> Workload:
    """Site 1 brings three quarters of the ``load`` in jobs of 0.5 to 1 s, the others the rest in jobs of 0.1 to 100 ms.

    The short ones are bounded Pareto, alpha 1; there are ``jobs`` of them.
    """
    short, long = bounded_pareto(1.0, SHORTEST_S, 0.1), uniform(0.5, 1.0)
    short_s = [short.draw(rng) for _ in range(jobs)]
    long_s = [long.draw(rng) for _ in range(round(3 * sum(short_s) / long.mean))]
    span_s = (sum(short_s) + sum(long_s)) / workers / load
    arrivals = _poisson(rng, short_s, range(2, SITES + 1), span_s) + _poisson(rng, long_s, [1], span_s)
    return workload("heavy", workers, arrivals, busy=[1])


def contest(rng: Random, name: str, *, jobs: int, workers: int = 4) -> Workload:
    """Ten sites submit ``jobs`` each at once, of 10 to 100 ms; site 1 tries to get more than its share.

    In ``split`` it has a user for every job. In ``lie-short`` its jobs state a tenth of their length, in ``lie-long``
    ten times their length. In ``honest`` it does nothing.
    """
    factor = {"honest": 1.0, "split": 1.0, "lie-short": 0.1, "lie-long": 10.0}[name]
    sizes = log_uniform(0.01, 0.1)
    arrivals = []
    for site in range(1, CONTESTANTS + 1):
        for number in range(jobs):
            size, user = sizes.draw(rng), site * jobs * USERS + (number if (name, site) == ("split", 1) else 0)
            arrivals.append(Arrival(0.0, site, user, size, size * factor if site == 1 else size))
    return workload(name, workers, arrivals, busy=[1])


def demo_batch(workers: int = 4) -> Workload:
    """The twenty jobs of ``jobsched demo``, all at once."""
    return workload("demo", workers, [Arrival(0.0, site, user, s, s) for user, site, s in demo.BATCH])


def _poisson(rng: Random, sizes_s: Sequence[float], sites: Sequence[int], span_s: float) -> list[Arrival]:
    """Jobs of these sizes in a Poisson stream over ``span_s``, given their number."""
    arrivals = []
    for size in sizes_s:
        at, site = rng.random() * span_s, rng.choice(sites)
        arrivals.append(Arrival(at, site, site * USERS + rng.randrange(USERS), size, size))
    return arrivals


#: The steady workloads, each with the workers that it is meant for.
_STEADY: Mapping[str, tuple[int, Sizes]] = {
    "pareto-1.0": (5, bounded_pareto(1.0)),
    "pareto-1.1": (5, bounded_pareto(1.1)),
    "pareto-1.5": (5, bounded_pareto(1.5)),
    "lognormal": (5, log_normal()),
}
NAMES = (*_STEADY, "flood", "heavy", *CONTESTS, "demo")


def drawn(name: str, seed: int, *, jobs: int | None = None, workers: int | None = None,
          load: float | None = None) -> Workload:
    """The workload of that name, drawn from a seed; the name gives the defaults.

    ``jobs`` is the number of drawn jobs: in ``flood`` of those that site 1 submits at once, in ``heavy`` of the short
    ones.
    Raises BadWorkload for an unknown name.
    """
    rng = Random(seed)
    if name == "demo":
        return demo_batch(workers or 4)
    if name == "flood":
        return flood(rng, jobs=jobs or FLOOD, workers=workers or 4, load=load or 0.5)
    if name == "heavy":
        return heavy(rng, jobs=jobs or 100_000, workers=workers or 4, load=load or 0.8)
    if name in CONTESTS:
        return contest(rng, name, jobs=jobs or 500, workers=workers or 4)
    if name not in _STEADY:
        raise BadWorkload(f"no workload {name!r}: must be one of {', '.join(NAMES)}, or the path of a .jsonl file")
    usual, sizes = _STEADY[name]
    return steady(rng, name, sizes, jobs=jobs or 100_000, workers=workers or usual, load=load or 0.8)
