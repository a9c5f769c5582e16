"""How long a waiting site can be passed over: adversaries try to break docs/fairness.md, on the real board.

The names in formulas are those of that page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, target
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis

from jobsched.domain import Band, Bands
from jobsched.policy import POLICIES, Policy
from jobsched.queues.lanes import window
from jobsched.simulate.engine import House, Simulation, Trace
from jobsched.simulate.measures import longest_passed_over, passed_over
from jobsched.simulate.workloads import Arrival, Workload, workload
from jobsched.staffing.plan import Slot, slots
from tests.support import TIERS

LANE = Bands.of([1.0])
B, BUDGET_S = LANE[0].bound_s, 0.1
M = max(B, BUDGET_S)
HEAD_STARTS = {"fair": 0.0, "balanced": B}
VICTIM = 1


class Burst(NamedTuple):
    """``count`` jobs at once, which take ``length`` and say ``estimate`` seconds. ``site`` None: each of a new site."""

    at: float
    site: int | None
    users: int
    count: int
    length: float
    estimate: float


sizes = st.sampled_from([0.01, 0.05, 0.2, 1.0])
lies = st.builds(Burst, st.floats(0, 6), st.sampled_from([None, 1, 2, 2, 3, 30]), st.integers(1, 12),
                 st.integers(1, 25), sizes, sizes)
truths = lies.map(lambda burst: burst._replace(estimate=burst.length))
scripts = st.one_of(st.lists(truths, min_size=1, max_size=6), st.lists(lies, min_size=1, max_size=6))
weights = st.fixed_dictionaries({site: st.sampled_from([0.5, 1.0, 4.0]) for site in (1, 2, 3, 30)})
attempts = hypothesis_settings(max_examples=25, deadline=None,
                               suppress_health_check=[HealthCheck.function_scoped_fixture])


def attack(script: Sequence[Burst], workers: int, weighted: Mapping[int, float] | None = None) -> Workload:
    """What the adversary sends, and a job of the victim every half second."""
    arrivals = [Arrival(0.5 * i, VICTIM, 1, 0.05, 0.05) for i in range(12)]
    new_site = 100
    for burst in script:
        for number in range(burst.count):
            new_site += burst.site is None
            site = new_site if burst.site is None else burst.site
            arrivals.append(Arrival(burst.at, site, site * 100 + number % burst.users, burst.length, burst.estimate))
    return workload("attack", workers, arrivals, weights=weighted)


def simulated(redis: Redis, load: Workload, policy: Policy, budget_s: float = BUDGET_S) -> Trace:
    redis.flushall()
    house = House(LANE, TIERS, tuple(slots(load.workers, LANE)), budget_s)
    return Simulation(redis, load, house, policy).run()


def longest(redis: Redis, load: Workload, policy: str) -> float:
    return longest_passed_over(load, simulated(redis, load, POLICIES[policy]), load.bands(LANE))


class Bound:
    """The bounds of docs/fairness.md for one lane that has all the workers.

    They count to the start of a slice; L more to that of a job inside it.
    """

    def __init__(self, load: Workload) -> None:
        self.load = load
        self.liars = {site for site, length, said in zip(load.site, load.length, load.estimate, strict=True)
                      if length != said}
        self.F = window(LANE[0], load.workers, BUDGET_S) + load.workers
        most_jobs = max(1, math.floor(BUDGET_S / min(load.estimate) + 1e-9))
        self.L = most_jobs * B if self.liars else M

    def weight(self, site: int) -> float:
        return self.load.weights.get(site, 1.0)

    def tags(self, site: int, head_start_s: float, own_s: float = 0.0) -> float:
        """T under ``fair`` and ``balanced``; ``own_s`` is Y."""
        beyond = self.F * self.L if site in self.liars else 0.0  # O
        work = self.F * self.L + own_s + (self.F * M if self.liars else 0.0)
        for other in self.load.sites:
            if other != site:
                work += self.weight(other) * (2 * head_start_s + (M + beyond + own_s) / self.weight(site))
                work += self.F * self.L if other in self.liars else M
        return work / self.load.workers

    def order(self, job: int, trace: Trace, ahead_s: float) -> float:
        """T under ``priority`` and its like; ``ahead_s`` is D."""
        load, now = self.load, self.load.at[job]
        jobs = zip(load.at, load.length, trace.start, trace.finish, strict=True)
        work = sum(min(length, finish - now) for at, length, start, finish in jobs if finish > now >= at - ahead_s)
        return (work + (len(load.sites) - 1) * self.L) / load.workers


# By tags


@pytest.mark.parametrize("policy", HEAD_STARTS)
@given(script=scripts, workers=st.sampled_from([1, 2, 4]), weighted=weights)
@attempts
def test_no_adversary_makes_a_site_wait_longer_than_the_bound(redis: Redis, policy: str, script: list[Burst],
                                                              workers: int, weighted: dict[int, float]) -> None:
    load = attack(script, workers, weighted)
    bound = Bound(load)

    waits = passed_over(load, simulated(redis, load, POLICIES[policy]), load.bands(LANE))

    limits = {line: bound.tags(line[0], HEAD_STARTS[policy]) for line in waits}
    target(max(waits[line] / limits[line] for line in waits))
    assert all(waits[line] <= limits[line] for line in waits)


@pytest.mark.parametrize("policy", HEAD_STARTS)
def test_what_one_site_drops_at_once_does_not_lengthen_the_wait_of_another(redis: Redis, policy: str) -> None:
    waits = [longest(redis, attack([Burst(0.0, 2, 10, count, 0.05, 0.05)], 1), policy) for count in (100, 400)]

    assert waits[1] <= waits[0] + 0.2


def test_in_order_of_arrival_it_does(redis: Redis) -> None:
    waits = [longest(redis, attack([Burst(0.0, 2, 10, count, 0.05, 0.05)], 1), "fifo") for count in (100, 400)]

    assert waits[1] >= waits[0] + 14  # 300 more jobs of 50 ms on one worker


def test_users_without_number_do_not_help_a_site_to_pass(redis: Redis) -> None:
    waits = [longest(redis, attack([Burst(0.0, 2, users, 200, 0.05, 0.05)], 1), "fair") for users in (1, 200)]

    assert waits[1] <= waits[0] + 0.2


# Several lanes

LANES = Bands.of([0.1, 1.0])


class Shared:
    """The bound of a lane whose workers serve other lanes as well; a site counts once for each of these."""

    def __init__(self, load: Workload, crew: Sequence[Slot], lane: Band, head_start: float) -> None:
        ours = [slot for slot in crew if lane in slot.own]
        served = [band for band in LANES if any(band in (*slot.own, *slot.helps) for slot in ours)]
        listeners = {band: sum(band in (*slot.own, *slot.helps) for slot in crew) for band in served}
        self.F = sum(window(band, listeners[band], BUDGET_S) for band in served) + len(crew)
        self.M = max(served[-1].bound_s, BUDGET_S)
        self.n = len({(site, band) for site, band in zip(load.site, load.bands(LANES), strict=True)
                      if LANES[band] in served}) - 1
        head_start_s = head_start * served[-1].bound_s
        self.T = (self.F * self.M + self.n * (2 * head_start_s + 2 * self.M)) / len(ours)


@pytest.mark.parametrize("policy", HEAD_STARTS)
@given(script=st.lists(truths, min_size=1, max_size=6), workers=st.sampled_from([1, 2, 4]))
@attempts
def test_nor_in_a_lane_whose_workers_serve_others_too(redis: Redis, policy: str, script: list[Burst],
                                                      workers: int) -> None:
    load = attack(script, workers)
    crew = tuple(slots(workers, LANES, load.load_by_band(LANES)))
    redis.flushall()

    trace = Simulation(redis, load, House(LANES, TIERS, crew, BUDGET_S), POLICIES[policy]).run()

    waits = passed_over(load, trace, load.bands(LANES))
    limits = {line: Shared(load, crew, LANES[line[1]], float(policy == "balanced")).T for line in waits}
    target(max(waits[line] / limits[line] for line in waits))
    assert all(waits[line] <= limits[line] for line in waits)


# Users of one site


class Batch(NamedTuple):
    """``count`` jobs of one user at once."""

    at: float
    user: int
    count: int
    length: float


batches = st.lists(st.builds(Batch, st.floats(0, 4), st.integers(1, 6), st.integers(1, 30), sizes), min_size=1,
                   max_size=8)


@pytest.mark.parametrize("policy", HEAD_STARTS)
@given(batches, st.sampled_from([1, 2, 4]))
@attempts
def test_a_job_waits_for_its_own_users_line_and_its_fair_share_of_the_colleagues(
        redis: Redis, policy: str, script: list[Batch], workers: int) -> None:
    load = workload("users", workers, [Arrival(batch.at, 1, batch.user, batch.length, batch.length)
                                       for batch in script for _ in range(batch.count)])

    trace = simulated(redis, load, POLICIES[policy])

    bound, users, longest_s = Bound(load), len(set(load.user)), max(load.length)
    for job, (at, user) in enumerate(zip(load.at, load.user, strict=True)):
        # Q: what the user has ahead of it in the line. Of jobs that come together, those with smaller numbers
        queued = sum(load.length[other] for other in range(job)
                     if load.user[other] == user and trace.start[other] >= at)
        own_s = queued + (users - 1) * (queued + 2 * longest_s)  # Y
        assert trace.start[job] - at <= bound.tags(1, HEAD_STARTS[policy], own_s) + bound.L


@pytest.mark.parametrize("policy", HEAD_STARTS)
def test_who_floods_delays_his_own_jobs_and_not_his_colleagues(redis: Redis, policy: str) -> None:
    waits = []
    for count in (50, 400):
        load = workload("flood", 1, [*[Arrival(0.0, 1, 1, 0.05, 0.05)] * count, Arrival(0.1, 1, 2, 0.05, 0.05)])
        waits.append(simulated(redis, load, POLICIES[policy]).start[count] - 0.1)

    assert waits[1] == pytest.approx(waits[0])
    assert waits[1] <= 0.4


# By points, and by size


ORDERED = {
    "priority, by 2 s": (replace(POLICIES["priority"], points_cap=2.0), lambda said: 2.0),
    "fifo": (POLICIES["fifo"], lambda said: 0.0),
    "shortest, by 4 times its size": (replace(POLICIES["shortest"], age=0.25), lambda said: said / 0.25),
}


@pytest.mark.parametrize("policy", ORDERED)
@given(script=scripts, workers=st.sampled_from([1, 2, 4]))
@attempts
def test_no_job_is_passed_by_what_arrives_later_than_the_policy_allows(redis: Redis, policy: str, script: list[Burst],
                                                                       workers: int) -> None:
    load = attack(script, workers)
    numbers, ahead = ORDERED[policy]

    # shortest: slices of one job, since each of any number of slices may carry longer ones along
    trace = simulated(redis, load, numbers, 1e-9 if numbers.size else BUDGET_S)

    bound = Bound(load)
    for job, said in enumerate(load.estimate):
        assert trace.start[job] - load.at[job] <= bound.order(job, trace, ahead(said)) + bound.L


def test_a_point_is_worth_a_second_and_at_most_a_thousand_count() -> None:
    priority = POLICIES["priority"]

    assert (priority.boost, priority.age, priority.points_cap) == (1.0, 1.0, 1000.0)
    assert POLICIES["shortest"].age / POLICIES["shortest"].size == pytest.approx(0.001)
