"""The marks: what the policies are held to on the drawn workloads, and whether they reach it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from jobsched.config import Settings
from jobsched.simulate.measures import Result
from jobsched.simulate.runs import Order, chosen, run
from jobsched.simulate.workloads import Workload

Results = Mapping[str, Result]


@dataclass(frozen=True)
class Mark:
    """Something that a policy must reach on a workload: ``of`` it ``at_least`` or ``at_most`` a limit."""

    what: str
    of: Callable[[Results], float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def limit(self) -> str:
        """The mark for people."""
        return f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"


@dataclass(frozen=True)
class Case:
    """A run, and the marks that it is held to."""

    order: Order
    marks: Sequence[Mark]


@dataclass(frozen=True)
class Verdict:
    """One mark, and what was reached."""

    case: str
    mark: Mark
    value: float

    @property
    def holds(self) -> bool:
        """Whether the mark is reached."""
        least, most = self.mark.at_least, self.mark.at_most
        return (least is None or self.value >= least) and (most is None or self.value <= most)


def _flood(policy: str) -> list[Mark]:
    return [
        Mark(f"{policy}: one queue's mean slowdown of quiet sites over its own",
             lambda by: by["one queue"].quiet_slowdown.mean / by[policy].quiet_slowdown.mean, at_least=200),
        Mark(f"{policy}: the same for the p99",
             lambda by: by["one queue"].quiet_slowdown.p99 / by[policy].quiet_slowdown.p99, at_least=100),
        Mark(f"{policy}: Jain's index over 1 s", lambda by: by[policy].jain_1s or 0.0, at_least=0.95),
    ]


def _beats_a_queue_a_band() -> Mark:
    return Mark("balanced: its mean slowdown over that of a queue a band",
                lambda by: by["balanced"].slowdown.mean / by["queue a band"].slowdown.mean, at_most=1)


def _gain(result: Result) -> float:
    return math.inf if result.gain is None else result.gain


def _gains_little() -> list[Mark]:
    return [Mark("balanced: what the site gains", lambda by: _gain(by["balanced"]), at_most=0.1),
            Mark("fair: what the site gains", lambda by: _gain(by["fair"]), at_most=0.1)]


_OURS = ("balanced", "fair")
CASES: Sequence[Case] = (
    Case(Order("flood", policies=_OURS), [*_flood("balanced"), *_flood("fair")]),
    Case(Order("heavy", policies=("balanced",)), [
        Mark("balanced: round robin's mean slowdown of quiet sites over its own",
             lambda by: by["round robin"].quiet_slowdown.mean / by["balanced"].quiet_slowdown.mean, at_least=20),
    ]),
    Case(Order("pareto-1.0", policies=("balanced",), jobs=300_000), [
        Mark("balanced: mean slowdown", lambda by: by["balanced"].slowdown.mean, at_most=3.0),
        Mark("balanced: p99 of slowdown", lambda by: by["balanced"].slowdown.p99, at_most=25),
    ]),
    Case(Order("pareto-1.5", policies=("balanced",)), [_beats_a_queue_a_band()]),
    Case(Order("lognormal", policies=("balanced",), jobs=30_000), [_beats_a_queue_a_band()]),
    Case(Order("split", policies=_OURS), _gains_little()),
    *(Case(Order(name, policies=_OURS, single_lane=one), _gains_little())
      for name in ("lie-short", "lie-long") for one in (True, False)),
)


def held(settings: Settings, order: Order, console: Console,
         show: Callable[[Workload, Sequence[Result]], object]) -> Iterator[Verdict]:
    """Run every case with the seed and the Redis of ``order``; ``show`` is given each one's results.

    ``order.jobs`` replaces what a case would draw.
    """
    for case in CASES:
        its = replace(case.order, jobs=order.jobs or case.order.jobs, seed=order.seed, redis=order.redis)
        load = chosen(settings, its)
        results = run(settings, its, load, console)
        show(load, results)
        name = f"{its.workload}, one lane" if its.single_lane else its.workload
        by = {result.policy: result for result in results}
        yield from (Verdict(name, mark, mark.of(by)) for mark in case.marks)


def table(verdicts: Sequence[Verdict]) -> Table:
    """The verdicts for a terminal."""
    rows = Table(title="marks", title_justify="left", title_style="bold")
    for column in ("case", "what", "mark", "reached", ""):
        rows.add_column(column, justify="right" if column == "reached" else "left")
    for verdict in verdicts:
        rows.add_row(verdict.case, verdict.mark.what, verdict.mark.limit, f"{verdict.value:,.3g}",
                     "yes" if verdict.holds else "NO")
    return rows
