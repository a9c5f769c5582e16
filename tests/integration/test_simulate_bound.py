"""How long a waiting site can be passed over: adversaries try to break the bound, on the real board."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, target
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis

from jobsched.domain import bands_of
from jobsched.lanes import window
from jobsched.plan import slots
from jobsched.policy import POLICIES
from jobsched.simulate.engine import House, Simulation
from jobsched.simulate.measures import longest_passed_over
from jobsched.simulate.workloads import Arrival, Workload, workload
from tests.support import TIERS

LANE = bands_of([1.0])
BUDGET_S = 0.1
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
bursts = st.builds(Burst, st.floats(0, 6), st.sampled_from([None, 1, 2, 2, 3, 30]), st.integers(1, 12),
                   st.integers(1, 25), sizes, sizes)


def attack(script: Sequence[Burst], workers: int) -> Workload:
    """What the adversary sends, and a job of the victim every half second."""
    arrivals = [Arrival(0.5 * i, VICTIM, 1, 0.05, 0.05) for i in range(12)]
    new_site = 100
    for burst in script:
        for number in range(burst.count):
            new_site += burst.site is None
            site = new_site if burst.site is None else burst.site
            arrivals.append(Arrival(burst.at, site, site * 100 + number % burst.users, burst.length, burst.estimate))
    return workload("attack", workers, arrivals)


def passed_over(redis: Redis, load: Workload, policy: str) -> float:
    redis.flushall()
    house = House(LANE, TIERS, tuple(slots(load.workers, LANE)), BUDGET_S)
    return longest_passed_over(load, Simulation(redis, load, house, POLICIES[policy]).run(), load.bands(LANE))


def bound(load: Workload, head_start_s: float) -> float:
    """The bound of docs/fairness.md for sites of weight 1 in one lane that has all the workers."""
    sites, workers = len(load.sites), load.workers
    # What a slice may take: as many jobs as say that they fit its budget, each as long as the lane allows
    most_jobs = max(1, math.floor(BUDGET_S / min(load.estimate) + 1e-9))
    slice_s = most_jobs * LANE[0].bound_s
    flying = window(LANE[0], workers, BUDGET_S) + workers
    each = 2 * head_start_s + 2 * slice_s + flying * slice_s
    return ((sites - 1) * each + flying * slice_s) / workers + slice_s


@pytest.mark.parametrize(("policy", "head_start_s"), [("fair", 0.0), ("balanced", LANE[0].bound_s)])
@given(script=st.lists(bursts, min_size=1, max_size=6), workers=st.sampled_from([1, 2, 4]))
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_adversary_makes_a_site_wait_longer_than_the_bound(redis: Redis, policy: str, head_start_s: float,
                                                              script: list[Burst], workers: int) -> None:
    load = attack(script, workers)

    longest = passed_over(redis, load, policy)

    limit = bound(load, head_start_s)
    target(longest / limit)
    assert longest <= limit


@pytest.mark.parametrize("policy", ["fair", "balanced"])
def test_what_one_site_drops_at_once_does_not_lengthen_the_wait_of_another(redis: Redis, policy: str) -> None:
    waits = [passed_over(redis, attack([Burst(0.0, 2, 10, count, 0.05, 0.05)], 1), policy) for count in (100, 400)]

    assert waits[1] <= waits[0] + 0.2


def test_in_order_of_arrival_it_does(redis: Redis) -> None:
    waits = [passed_over(redis, attack([Burst(0.0, 2, 10, count, 0.05, 0.05)], 1), "fifo") for count in (100, 400)]

    assert waits[1] >= waits[0] + 14  # 300 more jobs of 50 ms on one worker


def test_users_without_number_do_not_help_a_site_to_pass(redis: Redis) -> None:
    waits = [passed_over(redis, attack([Burst(0.0, 2, users, 200, 0.05, 0.05)], 1), "fair") for users in (1, 200)]

    assert waits[1] <= waits[0] + 0.2
