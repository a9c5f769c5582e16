"""The score formula and the named policies, as tables with their arithmetic."""

from __future__ import annotations

import pytest

from jobsched.policy import POLICIES, Weights, points
from tests.formula import Standing, line_score, score
from tests.support import BANDS, TIERS

LONGEST = BANDS[-1]
SECOND = BANDS[3]


@pytest.mark.parametrize(("users_pending", "by_band", "capacity", "expected"), [
    ({}, {}, 1, 1),
    # One Active user (1) with one job of task_05 (1), capacity 2.
    ({1: 1}, {"task_05": 1}, 2, 1 + 1 + 2),
    # Tiers 1 + 2 + 3; jobs 2*5 + 1*4 + 3*1; capacity 3.
    ({1: 4, 2: 5, 3: 10}, {"task_01": 2, "task_02": 1, "task_05": 3}, 3, 6 + 17 + 3),
    # A user who does not count is not in the mapping; the user's jobs are.
    ({}, {"task_03": 2, "task_04": 1}, 1, 0 + 3 * 2 + 2 * 1 + 1),
])
def test_points_add_tiers_bands_and_capacity(
    users_pending: dict[int, int], by_band: dict[str, int], capacity: int, expected: int
) -> None:
    assert points(users_pending, by_band, capacity, TIERS, BANDS) == expected


STANDING = Standing(points=40, tag=7.0, head_enqueued_at=1000.0, head_execution_time=0.5)


@pytest.mark.parametrize(("policy", "expected"), [
    # A head start of one lane bound (1 s) over 100 points: 40 * 1/100 - 7
    ("balanced", 0.4 - 7.0),
    # 40 points, and a second of waiting for a point: 40 - 1000
    ("priority", 40.0 - 1000.0),
    ("fair", -7.0),
    ("fifo", -1000.0),
    # 0.001 * 1000 + 0.5
    ("shortest", -1.0 - 0.5),
])
def test_each_policy_weighs_the_same_standing(policy: str, expected: float) -> None:
    assert score(STANDING, POLICIES[policy].weights(SECOND)) == pytest.approx(expected)


def test_the_table_names_the_five_policies() -> None:
    assert set(POLICIES) == {"balanced", "priority", "fair", "fifo", "shortest"}
    assert all(policy.name == name and policy.purpose for name, policy in POLICIES.items())


@pytest.mark.parametrize("band", BANDS)
def test_balanced_gives_a_head_start_of_at_most_one_lane_bound(band: object) -> None:
    weights = POLICIES["balanced"].weights(band)  # type: ignore[arg-type]
    most = score(Standing(10**9, 0.0, 0.0, 0.0), weights)
    assert most == pytest.approx(band.bound_s)  # type: ignore[attr-defined]


def test_points_count_up_to_their_cap() -> None:
    weights = Weights(boost=2.0, share=0.0, age=0.0, size=0.0, points_cap=100.0)
    assert [score(Standing(n, 0.0, 0.0, 0.0), weights) for n in (99, 100, 101)] == [198.0, 200.0, 200.0]


def test_priority_bounds_waiting_by_its_cap() -> None:
    weights = POLICIES["priority"].weights(LONGEST)
    # A newcomer with all points that count, 1000 s later than a site with none, has no higher score.
    newcomer = Standing(10**9, 0.0, head_enqueued_at=1000.0, head_execution_time=1.0)
    patient = Standing(0, 0.0, head_enqueued_at=0.0, head_execution_time=1.0)
    assert score(newcomer, weights) <= score(patient, weights)


@pytest.mark.parametrize("policy", ["priority", "fifo", "shortest"])
def test_ageing_orders_those_who_wait_alike_at_any_time(policy: str) -> None:
    weights = POLICIES[policy].weights(SECOND)
    early, late = Standing(5, 0.0, 10.0, 0.2), Standing(5, 0.0, 11.0, 0.2)
    assert score(early, weights) > score(late, weights)


@pytest.mark.parametrize(("policy", "expected"), [
    ("balanced", 3.0), ("fair", 3.0),    # the user's start tag
    ("priority", 20.0), ("fifo", 20.0),  # the moment
    ("shortest", 0.02 + 0.7),            # 0.001 * 20 + 0.7
])
def test_a_line_is_ordered_by_the_same_rule_one_level_down(policy: str, expected: float) -> None:
    weights = POLICIES[policy].weights(SECOND)
    assert line_score(3.0, 20.0, 0.7, weights) == pytest.approx(expected)


def test_the_higher_score_and_the_lower_line_score_go_first() -> None:
    weights = POLICIES["shortest"].weights(SECOND)
    assert score(Standing(1, 0.0, 0.0, 0.2), weights) > score(Standing(1, 0.0, 0.0, 0.3), weights)
    assert line_score(0.0, 0.0, 0.2, weights) < line_score(0.0, 0.0, 0.3, weights)
