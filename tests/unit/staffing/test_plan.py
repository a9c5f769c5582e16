"""Workers are assigned to lanes: every lane is served, and no short job waits only for long ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsched.board import Lane
from jobsched.domain import Band, Bands
from jobsched.staffing.plan import Slot, Turns, every, handed_over, slots, told
from tests.support import BANDS

bounds = st.lists(st.floats(0.001, 1000, allow_nan=False), min_size=1, max_size=7, unique=True).map(sorted)
loads = st.dictionaries(st.integers(1, 7).map(lambda i: f"task_{i:02d}"), st.floats(0, 100, allow_nan=False))


def serves(slot: Slot) -> tuple[Band, ...]:
    return (*slot.own, *slot.helps)


@given(st.integers(1, 40), bounds, loads)
def test_every_worker_has_a_slot_and_every_lane_a_worker(workers: int, bounds: list[float],
                                                        load: dict[str, float]) -> None:
    bands = Bands.of(bounds)

    plan = slots(workers, bands, load)

    assert len(plan) == workers
    assert {band for slot in plan for band in serves(slot)} == set(bands)


@given(st.integers(1, 40), bounds, loads)
def test_a_worker_helps_only_lanes_that_are_shorter_than_its_own(workers: int, bounds: list[float],
                                                                load: dict[str, float]) -> None:
    for slot in slots(workers, Bands.of(bounds), load):
        assert slot.own
        assert all(help_.bound_s < own.bound_s for help_ in slot.helps for own in slot.own)
        assert len(set(serves(slot))) == len(serves(slot))


@given(st.integers(2, 40), bounds.filter(lambda bounds: len(bounds) > 1), loads)
def test_of_two_workers_or_more_one_keeps_clear_of_the_longest_lane(workers: int, bounds: list[float],
                                                                   load: dict[str, float]) -> None:
    bands = Bands.of(bounds)

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


@given(st.integers(2, 40), bounds.filter(lambda bounds: len(bounds) > 1), st.floats(0.001, 0.94),
       st.lists(st.sampled_from([0.0, 0.01, 0.3, 1.0, 5.0]), min_size=7, max_size=7))
def test_where_it_can_be_helped_no_work_piles_up_in_a_lane(workers: int, bounds: list[float], busy: float,
                                                          parts: list[float]) -> None:
    bands = Bands.of(bounds)
    parts = [0.1, *parts[1 : len(bands)]]
    loads_ = [workers * busy * part / sum(parts) for part in parts]
    load = {band.name: load for band, load in zip(bands, loads_, strict=True)}
    hypothesis.assume(loads_[-1] < workers - 1)  # one worker keeps clear of the longest lane, whatever its load

    plan = slots(workers, bands, load)

    for i in range(len(bands)):
        serving = [slot for slot in plan if slot.own[-1].bound_s >= bands[i].bound_s]
        assert sum(loads_[i:]) < len(serving)


def test_a_lane_that_rounds_to_less_than_its_load_gets_a_worker_more() -> None:
    # 5 * 1.2/4.2 = 1.43 -> 1 worker would be busy 1.2 times
    load = {"task_05": 1.2, "task_04": 1.0, "task_03": 1.0, "task_02": 1.0}

    assert [slot.own[-1] for slot in slots(5, BANDS, load)].count(BANDS[4]) == 2


def test_no_worker_is_kept_for_lanes_without_work() -> None:
    plan = slots(4, BANDS, {"task_03": 2.0, "task_05": 0.8})

    assert [slot.own for slot in plan] == [BANDS[:4]] * 3 + [BANDS[4:]]


def lanes(times: dict[str, float], waiting: Collection[str]) -> list[Lane]:
    """Lanes of these virtual times; sites wait in some of them."""
    return [Lane(band, sites=int(band in waiting), virtual_s=time) for band, time in times.items()]


def serve(turns: Turns, times: dict[str, float], sites: dict[str, int], seconds: dict[str, float],
          rounds: int = 1000) -> dict[str, float]:
    """Serve the lane that comes first, so many times; ``sites`` wait in each. Returns what each lane got."""
    used = dict.fromkeys(sites, 0.0)
    for _ in range(rounds):
        turns.look(lanes(times, sites))
        band = next(band for band in turns.order if band in sites)
        used[band] += seconds[band]
        times[band] += seconds[band] / sites[band]
    return used


def test_every_site_has_the_same_of_a_workers_time_in_whatever_lane_it_waits() -> None:
    turns, times = Turns(Slot(BANDS[2:3], BANDS[:2])), {"task_01": 0.0, "task_02": 0.0, "task_03": 0.0}

    used = serve(turns, times, {"task_02": 1, "task_03": 9}, {"task_02": 0.1, "task_03": 0.1})

    assert used["task_03"] / used["task_02"] == pytest.approx(9, rel=0.05)


def test_a_lane_that_was_empty_does_not_make_up_for_it() -> None:
    turns, times = Turns(Slot(BANDS[:2], ())), {"task_01": 0.0, "task_02": 0.0}
    seconds = dict.fromkeys(times, 0.1)
    serve(turns, times, {"task_01": 1}, seconds)

    used = serve(turns, times, {"task_01": 1, "task_02": 1}, seconds, rounds=20)

    assert used["task_01"] == pytest.approx(used["task_02"], abs=0.1)


def test_what_other_workers_give_a_lane_counts() -> None:
    turns, times = Turns(Slot(BANDS[1:2], BANDS[:1])), {"task_01": 0.0, "task_02": 0.0}
    turns.look(lanes(times, times))

    turns.look(lanes({"task_01": 5.0, "task_02": 1.0}, times))

    assert turns.order == ["task_02", "task_01"]


def test_of_equal_lanes_the_shortest_comes_first_whether_somebody_waits_there_or_not() -> None:
    turns = Turns(Slot(BANDS[3:], BANDS[:3]))
    names = [band.name for band in BANDS]
    assert turns.order == names

    turns.look(lanes(dict.fromkeys(names, 7.0), {"task_05"}))

    assert turns.order == names


# From one plan to another


def looking_at(lane: Band, plan: Sequence[Slot]) -> int:
    return sum(lane in serves(slot) for slot in plan)


@given(st.integers(1, 12), bounds, loads, loads, st.data())
def test_on_the_way_to_another_plan_no_lane_has_fewer_listeners_than_in_both(
    workers: int, bounds: list[float], before: dict[str, float], after: dict[str, float], data: st.DataObject
) -> None:
    bands = Bands.of(bounds)
    old, wanted = slots(workers, bands, before), data.draw(st.permutations(slots(workers, bands, after)))

    new = handed_over(old, wanted)

    assert Counter(new) == Counter(wanted)
    changed = data.draw(st.lists(st.booleans(), min_size=workers, max_size=workers))
    between = [new[i] if has else old[i] for i, has in enumerate(changed)]
    for band in bands:
        at_ends = looking_at(band, old), looking_at(band, new)
        assert min(at_ends) <= looking_at(band, between) <= max(at_ends)


@given(st.integers(1, 12), bounds, loads, loads)
def test_as_few_workers_as_possible_change(workers: int, bounds: list[float], before: dict[str, float],
                                           after: dict[str, float]) -> None:
    bands = Bands.of(bounds)
    old, wanted = slots(workers, bands, before), slots(workers, bands, after)

    new = handed_over(old, wanted)

    changes = sum(one != other for one, other in zip(old, new, strict=True))
    assert changes == (Counter(wanted) - Counter(old)).total()


@given(st.integers(1, 40), bounds, loads)
def test_all_slots_of_a_plan_are_among_those_there_are(workers: int, bounds: list[float],
                                                      load: dict[str, float]) -> None:
    bands = Bands.of(bounds)

    assert set(slots(workers, bands, load)) <= set(every(bands))
    assert len(every(bands)) == len(set(every(bands))) == len(bands) * (len(bands) + 1) // 2


def test_a_plan_is_told_in_a_line() -> None:
    assert told(slots(4, BANDS)) == "1 for 1ms and 10ms and 100ms and 1s, 3 for 10s"
