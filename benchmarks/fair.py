"""Checks the simulator: runs the same flood on real workers and simulated, under fifo and balanced.

``python -m benchmarks.fair --seconds 60`` exits with 1 if the ratio of the quiet sites' mean slowdowns under the two
policies differs from the simulated ratio by more than a factor of FACTOR.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from benchmarks import marks, recorded, stack
from jobsched.config import load
from jobsched.policy import POLICIES
from jobsched.simulate import server
from jobsched.simulate.engine import House, Simulation
from jobsched.simulate.measures import Result, measure
from jobsched.simulate.workloads import SITES, USERS, Arrival, log_uniform
from jobsched.staffing import plan

PAIR = ("fifo", "balanced")
FACTOR = 2.0
WORKERS, QUIET_LOAD = 4, 0.5
#: Jobs sleep for 60 to 500 ms: each is a slice of its own, and far longer than what a slice costs.
SHORTEST_S, LONGEST_S = 0.06, 0.5
#: One lane, so that fifo is one queue.
SETTINGS = {"JOBSCHED_BANDS": f"{LONGEST_S:g}", "JOBSCHED_WORKERS": f"{WORKERS}"}
#: The number of jobs in a request.
BATCH = 200
#: The jobs left after the last arrival end within this many times the time of all arrivals.
PATIENCE = 3.0


@dataclass(frozen=True)
class Pair:
    """One policy, on real workers and simulated."""

    real: Result
    simulated: Result
    overhead_s: float


def main() -> int:
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):  # so that what was started is ended
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    machine = f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} before"
    arrivals = draw(Random(options.seed), options.seconds)
    pairs = {policy: _pair(policy, arrivals) for policy in PAIR}
    table = _table(pairs)
    Console(highlight=False, width=120).print(table)
    real, simulated = _ratio(pairs, "real"), _ratio(pairs, "simulated")
    off = max(real / simulated, simulated / real)
    verdict = f"fifo / balanced: {real:.1f} real, {simulated:.1f} simulated: off by a factor of {off:.2f}"
    print(verdict)
    if options.write:
        what = f"`make bench-fair SECONDS={options.seconds:g}`: {len(arrivals):,} jobs, {WORKERS} workers; {machine}."
        marks.write(marks.PAGE, "bench", ["", what, "", *marks.markdown(table), "", verdict + ".", ""])
    return 0 if off <= FACTOR else 1


def draw(rng: Random, seconds: float) -> list[Arrival]:
    """A flood of ``seconds``: site 1 submits half of the work at once, and the other sites the other half meanwhile."""
    sizes = log_uniform(SHORTEST_S, LONGEST_S)
    quiet = round(seconds * WORKERS * QUIET_LOAD / sizes.mean)
    arrivals = [Arrival(0.0, 1, rng.randrange(USERS), size, size) for size in map(sizes.draw, [rng] * quiet)]
    for size in map(sizes.draw, [rng] * quiet):
        arrivals.append(Arrival(rng.random() * seconds, rng.randint(2, SITES), rng.randrange(USERS), size, size))
    return sorted(arrivals)


def _pair(policy: str, arrivals: Sequence[Arrival]) -> Pair:
    with TemporaryDirectory(prefix="jobsched-bench-") as directory:
        with stack.running(Path(directory), SETTINGS | {"JOBSCHED_POLICY": policy}) as running:
            flooder = _submit(running, arrivals)
            _await_end(running, PATIENCE * arrivals[-1].at + 30)
        run = recorded.read(running.settings, policy, WORKERS, flooder)
    settings, overhead_s = load(SETTINGS), recorded.overhead_s(run)
    house = House(settings.bands, settings.tiers, tuple(plan.slots(WORKERS, settings.bands)),
                  settings.slice_budget_ms / 1000, overhead_s)
    with server.real() as redis:
        simulated = Simulation(redis, run.load, house, POLICIES[policy]).run()
    return Pair(measure(run.load, run.trace, settings.bands), measure(run.load, simulated, settings.bands), overhead_s)


def _submit(running: stack.Stack, arrivals: Sequence[Arrival]) -> int:
    """Create the sites and users, then submit each job when it is due; returns the id of the site that floods."""
    sites = [row["id"] for row in running.post("/sites", [{"name": f"Site {i + 1}"} for i in range(SITES)])]
    users = [row["id"] for row in running.post("/user-records", [
        {"site": site, "name": f"User {i + 1}"} for site in sites for i in range(USERS)])]
    jobs = [{"site": sites[job.site - 1], "user": users[(job.site - 1) * USERS + job.user],
             "execution_time": job.estimate} for job in arrivals]
    at_once = sum(job.at == 0 for job in arrivals)
    began = time.monotonic()
    for batch in stack.in_batches(jobs[:at_once], BATCH):
        running.post("/jobs", batch)
    for job, due in zip(jobs[at_once:], arrivals[at_once:], strict=True):
        time.sleep(max(0.0, began + due.at - time.monotonic()))
        running.post("/jobs", [job])
    return int(sites[0])


def _await_end(running: stack.Stack, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while left := recorded.unfinished(running.settings):
        if time.monotonic() > deadline:
            raise running.failed(f"{left} jobs are not completed after {patience_s:.0f} s more")
        time.sleep(0.5)


def _table(pairs: Mapping[str, Pair]) -> Table:
    table = Table(title="quiet sites, on real workers and simulated", title_justify="left", title_style="bold")
    table.add_column("policy")
    for column in ("mean slowdown: real", "simulated", "p99: real", "simulated", "Jain 1 s: real", "simulated",
                   "a slice costs"):
        table.add_column(column, justify="right")
    for policy, pair in pairs.items():
        both = (pair.real, pair.simulated)
        table.add_row(
            policy, *(f"{result.quiet_slowdown.mean:,.1f}" for result in both),
            *(f"{result.quiet_slowdown.p99:,.1f}" for result in both),
            *(f"{result.jain_1s or 0:.3f}" for result in both), f"{pair.overhead_s * 1000:.1f} ms",
        )
    return table


def _ratio(pairs: Mapping[str, Pair], kind: str) -> float:
    fifo, balanced = (getattr(pairs[policy], kind).quiet_slowdown.mean for policy in PAIR)
    return float(fifo / balanced)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fair")
    parser.add_argument("--seconds", type=float, default=60, help="how long jobs arrive")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write the table into docs/fairness.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
