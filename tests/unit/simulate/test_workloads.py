"""Workloads have the stated load and sizes."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsched.simulate import workloads
from jobsched.simulate.workloads import Arrival, BadWorkload, Sizes, drawn, workload
from tests.support import BANDS

QUICK = {"flood": 300, "heavy": 2000, "demo": None, **dict.fromkeys(workloads.CONTESTS, 20)}


@pytest.mark.parametrize("name", workloads.NAMES)
def test_a_seed_draws_the_same_workload_again(name: str) -> None:
    jobs = QUICK.get(name, 500)

    assert drawn(name, 7, jobs=jobs) == drawn(name, 7, jobs=jobs)
    assert name == "demo" or drawn(name, 7, jobs=jobs).length != drawn(name, 8, jobs=jobs).length


@pytest.mark.parametrize("name", workloads.NAMES)
def test_jobs_come_in_the_order_of_their_arrival_and_fit_the_bands(name: str) -> None:
    load = drawn(name, 1, jobs=QUICK.get(name, 500))

    assert list(load.at) == sorted(load.at)
    assert len(load.bands(BANDS)) == len(load) == len(load.user) == len(load.estimate)
    assert min(load.length) > 0


@pytest.mark.parametrize(
    ("sizes", "low", "high"),
    [
        (workloads.bounded_pareto(1.5), 0.0001, 10.0),
        (workloads.log_normal(), 0.0, 10.0),
        (workloads.log_uniform(0.001, 0.1), 0.001, 0.1),
        (workloads.uniform(0.5, 1.0), 0.5, 1.0),
    ],
)
def test_sizes_lie_between_their_bounds_and_have_their_mean(sizes: Sizes, low: float, high: float) -> None:
    rng = Random(1)
    drawn_ = [sizes.draw(rng) for _ in range(50_000)]

    assert low <= min(drawn_)
    assert max(drawn_) <= high
    assert sum(drawn_) / len(drawn_) == pytest.approx(sizes.mean, rel=0.05)


@pytest.mark.parametrize("alpha", [1.0, 1.1, 1.5])
def test_bounded_pareto_sizes_have_the_mean_of_their_density(alpha: float) -> None:
    sizes = workloads.bounded_pareto(alpha)
    # x = low * u^(-1/alpha), u evenly from (low/high)^alpha to 1
    low, tail, steps = workloads.SHORTEST_S, (workloads.SHORTEST_S / workloads.LONGEST_S) ** alpha, 2_000_000
    total = sum(low * (tail + (1 - tail) * (i + 0.5) / steps) ** (-1 / alpha) for i in range(steps))

    assert total / steps == pytest.approx(sizes.mean, rel=0.01)


def test_a_steady_workload_brings_its_load() -> None:
    for name in ("pareto-1.0", "pareto-1.5", "heavy"):
        load = drawn(name, 1, jobs=5000, workers=3, load=0.6)

        assert load.load == pytest.approx(0.6, rel=0.01)
        assert sum(load.load_by_band(BANDS).values()) == pytest.approx(load.load * 3)


def test_a_flood_runs_off_when_the_quiet_sites_end() -> None:
    load = drawn("flood", 1, jobs=2000)

    assert Counter(load.site)[1] == load.at.count(0.0) == 2000
    assert load.busy == {1}
    assert load.load == pytest.approx(1.0, rel=0.05)  # quiet 0.5, and the flood brings as much meanwhile


def test_a_flood_onto_workers_that_are_full_already_is_refused() -> None:
    with pytest.raises(BadWorkload, match="runs off"):
        drawn("flood", 1, jobs=10, load=1.0)


@pytest.mark.parametrize(("name", "factor"), [("honest", 1.0), ("lie-short", 0.1), ("lie-long", 10.0)])
def test_in_a_contest_only_the_first_site_lies(name: str, factor: float) -> None:
    load = drawn(name, 1, jobs=20)

    for site, length, estimate in zip(load.site, load.length, load.estimate, strict=True):
        assert estimate == pytest.approx(length * (factor if site == 1 else 1.0))


def test_who_splits_has_a_user_for_every_job() -> None:
    load = drawn("split", 1, jobs=20)
    users = {site: {user for s, user in zip(load.site, load.user, strict=True) if s == site} for site in load.sites}

    assert [len(users[site]) for site in load.sites] == [20] + [1] * 9


def test_an_unknown_workload_is_refused_with_the_names_of_the_known() -> None:
    with pytest.raises(BadWorkload, match=r"pareto-1\.0, .*demo"):
        drawn("tsunami", 1)


def test_a_job_above_the_last_band_is_refused() -> None:
    load = workload("long", 1, [Arrival(0.0, 1, 1, 11.0, 11.0)])

    with pytest.raises(BadWorkload, match="11 s"):
        load.bands(BANDS)


@given(st.lists(st.floats(0, 100), min_size=1))
def test_a_workload_sorts_what_it_is_given(times: list[float]) -> None:
    load = workload("any", 2, [Arrival(at, 1, 1, 1.0, 1.0) for at in times])

    assert list(load.at) == sorted(times)
