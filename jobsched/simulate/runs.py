"""Runs a workload under each policy on the board and each baseline, and measures the results."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from redis import Redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jobsched.config import Settings
from jobsched.domain import Bands
from jobsched.policy import POLICIES
from jobsched.simulate import baselines, server, workloads
from jobsched.simulate.engine import House, Simulation, Trace
from jobsched.simulate.files import from_file
from jobsched.simulate.history import from_ledger
from jobsched.simulate.measures import Result, measure
from jobsched.simulate.workloads import Workload
from jobsched.staffing import plan

#: Above this number of jobs, forecasts are checked only on order, because that takes half as long again.
MOST_ASKING = 100_000


@dataclass(frozen=True)
class Request:
    """What to simulate. None stands for the default of the workload.

    ``history`` are two times in UTC. ``single_lane`` puts all jobs into the longest band's lane; ``even`` assigns
    workers to lanes as if the load were unknown. ``redis`` is real or fake. Empty ``policies`` stand for all.
    ``expect``: also check forecasts of starts (None: unless there are more than MOST_ASKING jobs).
    """

    workload: str = "flood"
    history: tuple[datetime, datetime] | None = None
    policies: Sequence[str] = ()
    baselines: bool = True
    jobs: int | None = None
    workers: int | None = None
    load: float | None = None
    seed: int = 1
    single_lane: bool = False
    even: bool = False
    overhead_ms: float = 0.0
    redis: str = "real"
    expect: bool | None = None


def chosen(settings: Settings, request: Request) -> Workload:
    """The requested workload. Raises BadWorkload."""
    if request.history:
        begin, end = (moment.replace(tzinfo=timezone.utc) for moment in request.history)
        return from_ledger(settings, begin, end, request.workers or settings.workers)
    if request.workload.endswith((".jsonl", ".ndjson")):
        return from_file(Path(request.workload), request.workers or settings.workers, settings.bands)
    return workloads.drawn(request.workload, request.seed, jobs=request.jobs, workers=request.workers,
                           load=request.load)


@dataclass(frozen=True)
class Outcome:
    """A simulated workload, and the result of each policy and each baseline."""

    load: Workload
    house: House
    results: Sequence[Result]

    @property
    def by_policy(self) -> Mapping[str, Result]:
        """The results by the name of their policy."""
        return {result.policy: result for result in self.results}


def run(settings: Settings, request: Request, console: Console) -> Outcome:
    """Run each policy on the board, then each baseline. Shows its progress on ``console``. Raises BadWorkload."""
    load = chosen(settings, request)
    house = house_of(settings, request, load)
    progress = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                        TimeRemainingColumn(), console=console, disable=not console.is_terminal)
    with progress, _no_collector():
        traces = _traces(settings, request, load, house, progress)
        return Outcome(load, house, [measure(load, trace, settings.bands) for trace in traces])


def _traces(settings: Settings, request: Request, load: Workload, house: House, progress: Progress) -> Iterator[Trace]:
    asks = len(load) <= MOST_ASKING if request.expect is None else request.expect
    tasks = {name: progress.add_task(name, total=len(load)) for name in request.policies or POLICIES}
    with _redis(request) as redis:
        for name, task in tasks.items():
            _begin(progress, load, name)
            redis.flushall()
            simulation = Simulation(redis, load, house, POLICIES[name], asks=asks)
            yield simulation.run(partial(progress.advance, task))
    if request.baselines:
        _begin(progress, load, "baselines")
        yield baselines.one_queue(load)
        yield baselines.queue_a_band(load, settings.bands)
        yield baselines.drain_the_top_site(load, settings.bands, settings.tiers)
        yield baselines.round_robin(load)
        yield baselines.shortest_remaining(load)


def _begin(progress: Progress, load: Workload, name: str) -> None:
    """Print what begins if there are no progress bars, because a run may take minutes."""
    if not progress.console.is_terminal:
        progress.console.out(f"{load.name}: {len(load):,} jobs, {name}", highlight=False)


def house_of(settings: Settings, request: Request, load: Workload) -> House:
    """The installation of the settings, with the workload's workers."""
    bands = Bands(settings.bands[-1:]) if request.single_lane else settings.bands
    known = None if request.even else load.load_by_band(bands)
    return House(bands, settings.tiers, tuple(plan.slots(load.workers, bands, known)),
                 settings.slice_budget_ms / 1000, request.overhead_ms / 1000)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Disable the search for cycles: there are none, and walking over a million jobs again and again takes a minute."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _redis(request: Request) -> AbstractContextManager[Redis]:
    return server.fake() if request.redis == "fake" else server.real()
