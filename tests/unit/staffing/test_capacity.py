"""How many workers the lanes need: for the load, the backlog, and a mean wait."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsched.board import Lane, LaneLoad
from jobsched.simulate.stability import most_loaded
from jobsched.staffing.capacity import Demand, demand, tells, work, workers_for_wait, workers_to_keep_up
from jobsched.staffing.plan import slots
from tests.support import BANDS


def lane(load: float = 0.0, *, mean_s: float = 1.0, scv: float = 1.0, backlog_s: float = 0.0, band: int = 3) -> Demand:
    return Demand(BANDS[band], load / mean_s, mean_s, "measured", scv, load, backlog_s)


def demands(*loads: float, backlog_s: float = 0.0) -> list[Demand]:
    """Lanes of these loads, and a backlog in each."""
    return [lane(load, band=i, backlog_s=backlog_s) for i, load in enumerate(loads)]


def test_the_load_is_arrivals_times_their_mean_time() -> None:
    found = demand(BANDS[3], Lane("task_04", 1, 4, backlog_s=3.0, load=LaneLoad(2.0, 0.5, 0.75)))

    assert (found.load, found.mean_s, found.mean_from, found.backlog_s) == (1.0, 0.5, "measured", 3.0)
    assert found.scv == pytest.approx(2.0)  # 0.75 / 0.25 - 1


def test_before_anything_has_ended_the_mean_is_what_was_estimated_for_what_waits() -> None:
    found = demand(BANDS[3], Lane("task_04", 1, 4, backlog_s=1.2, load=LaneLoad(2.0, None, None)))

    assert (found.mean_s, found.mean_from, found.scv) == (pytest.approx(0.3), "estimated", 1.0)
    assert found.load == pytest.approx(0.6)


def test_where_nothing_waits_the_mean_is_the_bound_of_the_band() -> None:
    found = demand(BANDS[3], Lane("task_04", flying=1, load=LaneLoad(2.0, None, None)))

    assert (found.mean_s, found.mean_from, found.load) == (1.0, "bound", 2.0)


def test_a_lane_that_has_seen_nothing_asks_for_nothing() -> None:
    found = demand(BANDS[3], Lane("task_04"))

    assert (found.mean_s, found.mean_from, found.load) == (None, None, 0.0)
    assert workers_for_wait(found, 1.0) == 0


def test_a_handful_of_jobs_does_not_tell_the_mix() -> None:
    assert not tells([lane(0.04), lane(0.05)])  # 9 in 100 s
    assert tells([lane(0.05), lane(0.06)])


def test_what_waits_gets_the_time_that_arrivals_leave() -> None:
    # 4 workers do 3.8 s a second; 2 of them come anew, and 1,000 s wait: 10 a second for 100 s, of which 1.8 are there
    assert work([lane(2.0, band=0), lane(0.0, band=4, backlog_s=1000.0)], 4) == pytest.approx(
        {"task_01": 2.0, "task_05": 1.8})


def test_a_small_backlog_is_done_within_the_time_looked_at() -> None:
    assert work([lane(1.0, backlog_s=50.0)], 4) == pytest.approx({"task_04": 1.5})


def test_a_backlog_takes_no_worker_from_lanes_that_are_overloaded() -> None:
    assert work([lane(5.0, band=0), lane(1.0, band=4, backlog_s=1000.0)], 4) == {"task_01": 5.0, "task_05": 1.0}


@pytest.mark.parametrize(("loads", "backlog_s", "workers"), [
    ((), 0.0, 1),
    ((0.0, 0.0), 0.0, 1),
    ((0.5, 0.4), 0.0, 1),
    ((0.5, 0.5), 0.0, 2),  # 1 / 0.95
    ((0.0, 0.96), 0.0, 3),  # two for the longest lane, and one who keeps clear of it
    ((3.0, 0.8), 0.0, 4),  # 3.8 / 0.95
    ((0.5, 0.5), 140.0, 4),  # (1 + 2 * 1.4) / 0.95
])
def test_enough_workers_are_wanted_to_keep_up(loads: tuple[float, ...], backlog_s: float, workers: int) -> None:
    assert workers_to_keep_up(demands(*loads, backlog_s=backlog_s) or [lane()]) == workers


@pytest.mark.parametrize(("held_s", "paused", "found_s"), [
    (0.0, False, 0.0), (40.0, False, 40.0), (0.0, True, 60.0), (-1.0, False, 0.0), (99.0, False, 60.0),
])
def test_what_is_held_is_a_part_of_the_backlog(held_s: float, paused: bool, found_s: float) -> None:
    load = LaneLoad(2.0, 0.5, 0.5)
    found = demand(BANDS[3], Lane("task_04", 1, 120, paused=paused, backlog_s=60.0, held_s=held_s, load=load))

    assert (found.backlog_s, found.held_s, found.open_s) == (60.0, found_s, 60.0 - found_s)


def test_no_worker_is_wanted_or_planned_for_what_is_held() -> None:
    other, small, large = (lane(0.5, backlog_s=100.0), *(lane(0.5, backlog_s=s, band=4) for s in (100.0, 1000.0)))
    held = dataclasses.replace(large, held_s=900.0)

    assert workers_to_keep_up([other, held]) == workers_to_keep_up([other, small])
    assert work([other, held], 9) == pytest.approx({"task_04": 1.5, "task_05": 1.5})


@given(st.lists(st.floats(0, 20), min_size=5, max_size=5), st.floats(0, 1000))
def test_with_the_workers_that_are_wanted_the_plan_lets_no_work_pile_up(loads: list[float], backlog_s: float) -> None:
    lanes = demands(*loads, backlog_s=backlog_s)
    workers = workers_to_keep_up(lanes)
    load = {one.band.name: one.load + one.backlog_s / 100 for one in lanes}

    assert most_loaded(load, slots(workers, BANDS, load), BANDS) <= 0.95 + 1e-6


@pytest.mark.parametrize(("load", "scv", "wait_s", "workers"), [
    # M/M/1: load / (1 - load) mean times: 0.5 waits 1, 0.8 waits 4
    (0.5, 1.0, 1.0, 1),
    (0.5, 1.0, 0.99, 2),
    (0.8, 1.0, 4.01, 1),
    # M/D/1 waits half of that, by Pollaczek and Khinchine exactly
    (0.8, 0.0, 2.01, 1),
    (0.8, 0.0, 1.99, 2),
    # M/M/2 at 1.6: C = 0.7111, wait C / (2 - 1.6) = 1.778
    (1.6, 1.0, 1.78, 2),
    (1.6, 1.0, 1.77, 3),
    # four times the variance: twice and a half the wait of M/M/2
    (1.6, 4.0, 4.45, 2),
    (1.6, 4.0, 4.44, 3),
])
def test_the_workers_for_a_mean_wait_are_those_of_erlangs_formula(load: float, scv: float, wait_s: float,
                                                                 workers: int) -> None:
    assert workers_for_wait(lane(load, scv=scv), wait_s) == workers
    assert workers_for_wait(lane(load, scv=scv, mean_s=0.01), wait_s / 100) == workers  # times scale


@given(st.floats(0.001, 300), st.floats(0, 50), st.floats(1e-6, 100))
def test_a_lane_gets_more_workers_than_its_load_and_no_fewer_for_a_shorter_wait(load: float, scv: float,
                                                                              wait_s: float) -> None:
    asked = workers_for_wait(lane(load, scv=scv), wait_s)

    assert asked > load
    assert workers_for_wait(lane(load, scv=scv), wait_s / 2) >= asked
    assert workers_for_wait(dataclasses.replace(lane(load), scv=scv + 1), wait_s) >= asked
    assert math.isfinite(asked)
