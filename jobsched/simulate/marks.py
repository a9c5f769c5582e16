"""The marks: figures that the policies must reach on the drawn workloads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rich.console import Console
from rich.table import Table

from jobsched.config import Settings
from jobsched.domain import Bands
from jobsched.simulate import stability
from jobsched.simulate.measures import Spread
from jobsched.simulate.runs import Outcome, Request, run
from jobsched.staffing.plan import Slot

#: The name that stands for all workloads with marks.
NAME = "marks"
_OURS = ("balanced", "fair")


@dataclass(frozen=True)
class Mark:
    """A figure that a policy must reach on a workload: the value of ``of`` is ``at_least`` or ``at_most`` a limit."""

    what: str
    of: Callable[[Outcome], float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def limit(self) -> str:
        """The limit for people."""
        return f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"


@dataclass(frozen=True)
class Case:
    """A run, and the marks that it must reach."""

    request: Request
    marks: Sequence[Mark]


@dataclass(frozen=True)
class Verdict:
    """A mark, and the value that a run reached."""

    case: str
    mark: Mark
    value: float

    @property
    def holds(self) -> bool:
        """Whether the mark is reached."""
        least, most = self.mark.at_least, self.mark.at_most
        return (least is None or self.value >= least) and (most is None or self.value <= most)


def _flood(policy: str) -> list[Mark]:
    def quiet(outcome: Outcome) -> tuple[Spread, Spread]:
        return outcome.by_policy["one queue"].quiet_slowdown, outcome.by_policy[policy].quiet_slowdown

    def times_fewer(outcome: Outcome, which: str) -> float:
        theirs, ours = quiet(outcome)
        return float(getattr(theirs, which) / getattr(ours, which))

    return [
        Mark(f"{policy}: quiet sites' mean slowdown, one queue / {policy}",
             lambda outcome: times_fewer(outcome, "mean"), at_least=200),
        Mark(f"{policy}: quiet sites' p99 slowdown, one queue / {policy}",
             lambda outcome: times_fewer(outcome, "p99"), at_least=100),
        Mark(f"{policy}: Jain's index in windows of 1 s", lambda outcome: outcome.by_policy[policy].jain_1s or 0.0,
             at_least=0.95),
    ]


def _stable() -> list[Mark]:
    """The plan follows the load, and no lane is unstable: neither by its workers' load, nor by the work left over."""
    return [
        Mark("plan: workers of a lane and all longer ones, largest deviation from the load's share",
             lambda outcome: stability.off_the_load(*_plan(outcome)), at_most=1),
        Mark("plan: load per worker of a lane and all longer ones, largest",
             lambda outcome: stability.most_loaded(*_plan(outcome)), at_most=0.99),
        Mark("balanced: share of all work that waits in one lane at the end, largest",
             lambda outcome: outcome.by_policy["balanced"].left_waiting or 0.0, at_most=0.02),
    ]


def _plan(outcome: Outcome) -> tuple[Mapping[str, float], Sequence[Slot], Bands]:
    bands = outcome.house.bands
    return outcome.load.load_by_band(bands), outcome.house.slots, bands


def _beats_a_queue_a_band() -> Mark:
    return Mark("balanced: mean slowdown, balanced / queue a band",
                lambda outcome: (outcome.by_policy["balanced"].slowdown.mean
                                 / outcome.by_policy["queue a band"].slowdown.mean), at_most=1)


def _gains_little() -> list[Mark]:
    def gain(policy: str, outcome: Outcome) -> float:
        gained = outcome.by_policy[policy].gain
        return math.inf if gained is None else gained

    return [Mark(f"{policy}: extra service of the site that tries to gain", partial(gain, policy), at_most=0.1)
            for policy in _OURS]


#: Jobs of each site in a contest with false estimates. With so many, the uncharged slices in flight matter little.
LONG = 3000
CASES: Sequence[Case] = (
    Case(Request("flood", policies=_OURS), [*_flood("balanced"), *_flood("fair")]),
    Case(Request("heavy", policies=("balanced",)), [
        Mark("balanced: quiet sites' mean slowdown, round robin / balanced",
             lambda outcome: (outcome.by_policy["round robin"].quiet_slowdown.mean
                              / outcome.by_policy["balanced"].quiet_slowdown.mean), at_least=20),
    ]),
    Case(Request("pareto-1.0", policies=("balanced",), jobs=300_000), [
        Mark("balanced: mean slowdown", lambda outcome: outcome.by_policy["balanced"].slowdown.mean, at_most=3.0),
        Mark("balanced: p99 of slowdown", lambda outcome: outcome.by_policy["balanced"].slowdown.p99, at_most=25),
        *_stable(),
    ]),
    Case(Request("pareto-1.5", policies=("balanced",), jobs=300_000), [*_stable(), _beats_a_queue_a_band()]),
    Case(Request("lognormal", policies=("balanced",), jobs=30_000), [*_stable(), _beats_a_queue_a_band()]),
    Case(Request("split", policies=_OURS, baselines=False), _gains_little()),
    *(Case(Request(name, policies=_OURS, single_lane=one, baselines=False, jobs=LONG), _gains_little())
      for name in ("lie-short", "lie-long") for one in (True, False)),
)


def held(settings: Settings, request: Request, console: Console,
         show: Callable[[Outcome], object]) -> Iterator[Verdict]:
    """Run every case with the seed and the Redis of ``request``, and pass each outcome to ``show``.

    ``request.jobs`` replaces the number of jobs of each case.
    """
    for case in CASES:
        its = replace(case.request, jobs=request.jobs or case.request.jobs, seed=request.seed, redis=request.redis)
        outcome = run(settings, its, console)
        show(outcome)
        name = f"{its.workload}, one lane" if its.single_lane else its.workload
        yield from (Verdict(name, mark, mark.of(outcome)) for mark in case.marks)


def table(verdicts: Sequence[Verdict]) -> Table:
    """The verdicts for a terminal."""
    rows = Table(title="marks", title_justify="left", title_style="bold")
    for column in ("case", "what", "mark", "reached", ""):
        rows.add_column(column, justify="right" if column == "reached" else "left")
    for verdict in verdicts:
        rows.add_row(verdict.case, verdict.mark.what, verdict.mark.limit, f"{verdict.value:,.3g}",
                     "yes" if verdict.holds else "NO")
    return rows
