"""Measures, checked against cases that are counted by hand."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsched.simulate.engine import Trace
from jobsched.simulate.measures import gain, jain, jain_of_windows, longest_passed_over, max_min, measure, spread
from jobsched.simulate.workloads import Arrival, Workload, workload
from tests.support import BANDS


def case(*rows: tuple[float, int, float, float], busy: tuple[int, ...] = ()) -> tuple[Workload, Trace]:
    """A workload and its trace from (arrival, site, start, length)."""
    rows = tuple(sorted(rows))
    load = workload("case", 1, [Arrival(at, site, 1, length, length) for at, site, _, length in rows], busy=busy)
    trace = Trace("any", array("d", [row[2] for row in rows]), array("d", [row[2] + row[3] for row in rows]))
    return load, trace


def test_slowdown_is_time_in_the_system_over_the_jobs_own_length() -> None:
    # waits 0, 2 and 4 s: slowdowns 1, (2+1)/1 = 3 and (4+4)/4 = 2
    load, trace = case((0, 1, 0, 2), (0, 2, 2, 1), (1, 3, 5, 4), busy=(3,))

    result = measure(load, trace, BANDS)

    assert (result.slowdown.mean, result.slowdown.p50, result.slowdown.max) == (2, 2, 3)
    assert (result.wait_s.mean, result.wait_s.max) == (2, 4)
    assert (result.quiet_slowdown.count, result.quiet_slowdown.mean) == (2, 2)  # sites 1 and 2
    assert {band: spread.count for band, spread in result.slowdown_by_band.items()} == {"task_04": 1, "task_05": 2}
    assert result.makespan_s == 9


def test_quantiles_are_of_the_nearest_rank() -> None:
    numbers = spread(range(1, 201))

    assert (numbers.p50, numbers.p99, numbers.max) == (100, 198, 200)
    assert spread([]).count == 0


def test_the_curve_of_a_spread_says_nothing_beyond_its_count() -> None:
    assert spread(range(1, 101)).curve[-1] == 99
    assert len(spread(range(100)).curve) < len(spread(range(1000)).curve)


def test_a_site_is_passed_over_from_its_last_start_or_its_first_arrival() -> None:
    # site 2 has a job waiting from 1 to 2, then, after the start at 2, from 2 to 7
    load, trace = case((0, 1, 0, 2), (1, 2, 2, 1), (1.5, 2, 7, 1), (3, 1, 3, 4))

    assert longest_passed_over(load, trace, load.bands(BANDS)) == 5


def test_who_does_not_wait_is_not_passed_over() -> None:
    load, trace = case((0, 1, 0, 1), (100, 1, 100, 1))

    assert longest_passed_over(load, trace, load.bands(BANDS)) == 0


@pytest.mark.parametrize(("shares", "index"), [([1, 1, 1], 1), ([1, 0, 0, 0], 0.25), ([2, 1], 0.9), ([], 1)])
def test_jains_index_is_one_when_all_are_equal_and_one_nth_when_one_has_everything(shares: list[float],
                                                                                    index: float) -> None:
    assert jain(shares) == pytest.approx(index)


def test_max_min_gives_nobody_more_than_he_asks_and_shares_the_rest() -> None:
    assert max_min([5, 1, 9], 9) == [4, 1, 4]
    assert max_min([1, 2], 9) == [1, 2]


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=10), st.floats(0, 50))
def test_max_min_gives_out_what_there_is_and_is_asked_for(asked: list[float], capacity: float) -> None:
    fair = max_min(asked, capacity)

    assert sum(fair) == pytest.approx(min(capacity, sum(asked)))
    assert all(share <= ask for share, ask in zip(fair, asked, strict=True))
    least_unserved = min((share for share, ask in zip(fair, asked, strict=True) if share < ask - 1e-9), default=None)
    assert least_unserved is None or max(fair) <= least_unserved + 1e-9


def test_equal_service_to_backlogged_sites_is_even() -> None:
    # two sites with 4 s each on one worker, half a second in turn
    rows = [(0, 1 + i % 2, i * 0.5, 0.5) for i in range(16)]

    assert jain_of_windows(*case(*rows)) == pytest.approx(1)


def test_service_to_one_of_two_backlogged_sites_is_one_half() -> None:
    # Both come with 3 s, site 2 is served when site 1 has ended. Two windows count: as the first one opens nobody waits
    # yet, and as the fourth one opens only site 2 does
    rows = [(0, 1, 0.5 * i, 0.5) for i in range(6)] + [(0, 2, 3 + 0.5 * i, 0.5) for i in range(6)]

    assert jain_of_windows(*case(*rows)) == pytest.approx(0.5)


def test_who_asks_for_little_and_gets_it_is_served_evenly() -> None:
    # site 2 asks for 0.1 s in each window, and gets it; site 1 gets all the rest
    rows = [(0, 1, 0.0, 1.0)]
    for i in range(1, 6):
        rows += [(i - 0.05, 2, i, 0.1), (0, 1, i + 0.1, 0.9)]
    rows.append((0, 1, 6, 0.1))

    assert jain_of_windows(*case(*rows)) == pytest.approx(1)


def test_without_two_backlogged_sites_there_is_nothing_to_compare() -> None:
    assert jain_of_windows(*case((0, 1, 0, 1), (100, 2, 100, 1))) is None


def test_a_job_that_runs_alone_for_years_takes_no_longer_to_measure() -> None:
    load, trace = case((0, 1, 0, 1e12))

    assert jain_of_windows(load, trace) is None


def test_evenness_is_told_of_who_competes_after_a_long_job_that_ran_alone() -> None:
    # site 1 runs alone for a million seconds; then site 2 is served while site 3 waits for 2 s: 1/2 twice, then alone
    apart = [(1e6, 2, 1e6, 3.0), (1e6, 2, 1e6 + 3, 1.0), (1e6, 3, 1e6 + 4, 1.0)]

    assert jain_of_windows(*case((0, 1, 0, 1e6), *apart)) == jain_of_windows(*case(*apart)) == pytest.approx(0.5)


def test_gain_compares_with_the_mean_of_the_others_while_all_wait() -> None:
    # until the last job of site 2 starts at 4: site 1 got 3 s, site 2 got 1 s
    rows = [(0, 1, 0, 2), (0, 2, 2, 1), (0, 1, 3, 1), (0, 2, 4, 1), (0, 1, 5, 1)]

    assert gain(*case(*rows, busy=(1,))) == pytest.approx(2.0)
