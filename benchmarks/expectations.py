"""Compares forecasts from GET /jobs/<id>/why with the starts that the ledger recorded, on real workers.

``python -m benchmarks.expectations --seconds 60`` exits with 1 if the p90 held for fewer or more jobs than HELD allows.
The load is LOAD, mixed over all lanes, with a burst of one site in the middle.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from benchmarks import recorded, stack
from jobsched.config import Settings
from jobsched.ledger.database import ledger_app, reading
from jobsched.ledger.models import Job
from jobsched.simulate.expectations import Kept, Look, kept
from jobsched.simulate.workloads import log_uniform

HELD = (0.85, 0.97)
WORKERS, SITES, LOAD = 4, 8, 0.8
#: Jobs sleep for 2 ms to 2 s; what a slice costs its worker besides is about as long as this.
SHORTEST_S, LONGEST_S, OVERHEAD_S = 0.002, 2.0, 0.05
#: The burst is this many seconds of work for all workers.
BURST_S = 8.0
#: A client asks so long after its job was taken, and once more somewhere in the time that it was told, but in this.
MOMENT_S, SOON_S = 0.02, 20.0
PATIENCE_S = 120.0


@dataclass(order=True)
class Event:
    """Something to do ``at`` a moment: submit jobs of a site, or ask about one job."""

    at: float
    number: int = field(default_factory=count().__next__)
    site: int | None = field(default=None, compare=False)
    sizes: Sequence[float] = field(default=(), compare=False)
    job: int | None = field(default=None, compare=False)
    later: bool = field(default=False, compare=False)


class Client:
    """Submits the drawn jobs, asks about waiting jobs, and keeps the forecasts."""

    def __init__(self, running: stack.Stack, rng: Random, seconds: float) -> None:
        self.looks: list[Look] = []
        self.quiet: dict[int, bool] = {}
        self._running, self._rng = running, rng
        self._sites = [row["id"] for row in running.post("/sites", [{"name": f"Site {i}"} for i in range(SITES)])]
        self._users = [row["id"] for row in running.post("/user-records", [
            {"site": site, "name": "User"} for site in self._sites])]
        self._todo = draw(rng, seconds)

    def run(self) -> None:
        """Do each event at its time."""
        began = time.monotonic()
        while self._todo:
            event = heappop(self._todo)
            time.sleep(max(0.0, began + event.at - time.monotonic()))
            if event.job is None:
                self._submit(event, time.monotonic() - began)
            else:
                self._ask(event, event.job)

    def _submit(self, event: Event, now: float) -> None:
        site = event.site or 0
        jobs = self._running.post("/jobs", [
            {"site": self._sites[site], "user": self._users[site], "execution_time": size} for size in event.sizes])
        for job in jobs:
            self.quiet[job["id"]] = len(jobs) == 1
            heappush(self._todo, Event(now + MOMENT_S, job=job["id"]))

    def _ask(self, event: Event, job: int) -> None:
        told = self._running.get(f"/jobs/{job}/why")
        if told["expected"] is None:  # it has started
            return
        half_s, most_s = told["expected"]["p50_s"], told["expected"]["p90_s"]
        self.looks.append(Look(job, _seconds(told["at"]), half_s, most_s, told["line"] is not None, event.later))
        if not event.later:
            heappush(self._todo, Event(event.at + self._rng.random() * min(most_s, SOON_S), job=job, later=True))


def draw(rng: Random, seconds: float) -> list[Event]:
    """A Poisson stream of single jobs of any site, and a burst of the first one in the middle."""
    sizes = log_uniform(SHORTEST_S, LONGEST_S)
    steady = round(seconds * WORKERS * LOAD / (sizes.mean + OVERHEAD_S))
    burst = round(BURST_S * WORKERS / (sizes.mean + OVERHEAD_S))
    return sorted([
        Event(seconds / 2, site=0, sizes=[sizes.draw(rng) for _ in range(burst)]),
        *(Event(rng.random() * seconds, site=rng.randrange(SITES), sizes=[sizes.draw(rng)]) for _ in range(steady)),
    ])


def main() -> int:
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):  # so that what was started is ended
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    machine = f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} before"
    settings = {"JOBSCHED_WORKERS": str(WORKERS), "JOBSCHED_POLICY": options.policy}
    with TemporaryDirectory(prefix="jobsched-bench-") as directory:
        with stack.running(Path(directory), settings) as running:
            client = Client(running, Random(options.seed), options.seconds)
            client.run()
            _await_end(running)
        told = kept(starts(running.settings), client.looks, client.quiet.__getitem__)
    print(f"{len(client.quiet):,} jobs in {options.seconds:g} s, {options.policy}, {WORKERS} workers; {machine}")
    Console(highlight=False, width=120).print(table(told))
    return 0 if told and HELD[0] <= told["all"].p90_held <= HELD[1] else 1


def starts(settings: Settings) -> dict[int, float]:
    """When each job of the ledger started, in epoch seconds."""
    with ledger_app(settings).app_context(), reading() as session:
        rows = session.execute(select(Job.id, Job.started_at))
        return {job: started_at.timestamp() for job, started_at in rows if started_at}


def table(told: Mapping[str, Kept]) -> Table:
    """How often the forecasts held, one line for each group."""
    found = Table(title="real jobs, told when they will start", title_justify="left", title_style="bold")
    found.add_column("asked")
    for column in ("looks", "p50 held", "p90 held", "median of p90 / wait"):
        found.add_column(column, justify="right")
    names = {"quiet": "not in the burst", "board": "on the board", "queue": "in a worker's queue"}
    for group, one in told.items():
        found.add_row(names.get(group, group), f"{one.looks:,}", f"{one.p50_held:.1%}", f"{one.p90_held:.1%}",
                      f"{one.width:.1f}")
    return found


def _await_end(running: stack.Stack) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while left := recorded.unfinished(running.settings):
        if time.monotonic() > deadline:
            raise running.failed(f"{left} jobs are not completed after {PATIENCE_S:.0f} s more")
        time.sleep(0.5)


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.expectations")
    parser.add_argument("--seconds", type=float, default=60, help="how long jobs arrive")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--policy", default="balanced")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
