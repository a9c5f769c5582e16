"""Workers are given to lanes: everyone is served, and short jobs never wait for long ones alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsched.domain import Band, bands_of
from jobsched.plan import Slot, slots
from tests.support import BANDS

bounds = st.lists(st.floats(0.001, 1000, allow_nan=False), min_size=1, max_size=7, unique=True).map(sorted)
loads = st.dictionaries(st.integers(1, 7).map(lambda i: f"task_{i:02d}"), st.floats(0, 100, allow_nan=False))


def serves(slot: Slot) -> tuple[Band, ...]:
    return (*slot.own, *slot.helps)


@given(st.integers(1, 40), bounds, loads)
def test_every_worker_has_a_slot_and_every_lane_a_worker(workers: int, bounds: list[float],
                                                        load: dict[str, float]) -> None:
    bands = bands_of(bounds)

    plan = slots(workers, bands, load)

    assert len(plan) == workers
    assert {band for slot in plan for band in serves(slot)} == set(bands)


@given(st.integers(1, 40), bounds, loads)
def test_a_worker_helps_only_lanes_that_are_shorter_than_its_own(workers: int, bounds: list[float],
                                                                load: dict[str, float]) -> None:
    for slot in slots(workers, bands_of(bounds), load):
        assert slot.own
        assert all(help_.bound_s < own.bound_s for help_ in slot.helps for own in slot.own)
        assert len(set(serves(slot))) == len(serves(slot))


@given(st.integers(2, 40), bounds.filter(lambda bounds: len(bounds) > 1), loads)
def test_of_two_workers_or_more_one_keeps_clear_of_the_longest_lane(workers: int, bounds: list[float],
                                                                   load: dict[str, float]) -> None:
    bands = bands_of(bounds)

    on_longest = [slot for slot in slots(workers, bands, load) if bands[-1] in serves(slot)]

    assert 1 <= len(on_longest) < workers


def test_one_worker_serves_all_lanes_in_turn() -> None:
    assert slots(1, BANDS) == [Slot(BANDS, ())]


def test_a_helper_looks_at_the_shortest_lane_first() -> None:
    assert slots(2, BANDS)[-1] == Slot((BANDS[4],), BANDS[:4])


@pytest.mark.parametrize(
    ("load", "on_longest"),
    [
        (None, 3),  # 4 * 10 / 11.111 = 3.6 -> 4, and one has to keep clear
        ({"task_05": 1.0, "task_04": 1.0}, 2),  # 4 * 1/2
        ({"task_05": 0.1, "task_01": 3.0}, 1),  # 4 * 0.1/3.1 = 0.13 -> 0, and one has to be there
        ({"task_01": 1.0}, 1),
        ({}, 3),  # nothing known
        ({"task_05": 9.0}, 3),
    ],
)
def test_workers_go_to_lanes_in_proportion_to_their_load(load: dict[str, float] | None, on_longest: int) -> None:
    plan = slots(4, BANDS, load)

    assert [BANDS[4] in slot.own for slot in plan].count(True) == on_longest


def test_an_even_load_gives_each_lane_a_worker_of_its_own() -> None:
    even = {band.name: 1.0 for band in BANDS}

    plan = slots(5, BANDS, even)

    assert [slot.own for slot in plan] == [(band,) for band in BANDS]
    assert [slot.helps for slot in plan] == [BANDS[:i] for i in range(5)]
