"""Whether a plan can do the arriving work, checked against cases that are counted by hand."""

from __future__ import annotations

from array import array

import pytest

from jobsched.domain import Bands
from jobsched.simulate.engine import Trace
from jobsched.simulate.stability import left_waiting, most_loaded, off_the_load
from jobsched.simulate.workloads import Arrival, workload
from jobsched.staffing.plan import Slot

SHORT, LONG = BANDS = Bands.of([0.1, 1.0])
#: Three workers of the short lane, one of the long one, who helps.
PLAN = [Slot((SHORT,), ())] * 3 + [Slot((LONG,), (SHORT,))]


@pytest.mark.parametrize(("short", "long", "most"), [
    (2.0, 0.5, 0.625),  # 2.5 for all four, 0.5 for the one
    (0.4, 0.8, 0.8),  # 1.2 for all four, 0.8 for the one
    (3.9, 0.3, 1.05),
])
def test_a_lane_counts_with_all_longer_ones(short: float, long: float, most: float) -> None:
    assert most_loaded({SHORT.name: short, LONG.name: long}, PLAN, BANDS) == pytest.approx(most)


@pytest.mark.parametrize(("short", "long", "off"), [
    (3.0, 1.0, 0.0),
    (1.0, 1.0, 1.0),  # half of the load, so two of the four workers, and it has one
    (1.0, 0.0, 1.0),
])
def test_workers_are_compared_with_the_share_of_the_load(short: float, long: float, off: float) -> None:
    assert off_the_load({SHORT.name: short, LONG.name: long}, PLAN, BANDS) == pytest.approx(off)


def test_lanes_that_share_workers_count_as_one() -> None:
    plan = [Slot((SHORT, LONG), ())] * 2

    assert off_the_load({SHORT.name: 1.6, LONG.name: 0.1}, plan, BANDS) == pytest.approx(0)


def test_what_a_lane_leaves_waiting_is_a_share_of_all_work() -> None:
    # At 4 s, when the last one comes, 0.1 s of short and 1 s of long work have not started, of 0.4 + 3 s
    rows = [(0, 0.1, 0), (1, 0.1, 1), (2, 0.1, 3), (4, 0.1, 6), (0, 1.0, 1), (0, 1.0, 2), (0, 1.0, 5)]
    rows.sort()
    load = workload("case", 1, [Arrival(at, 1, 1, length, length) for at, length, _ in rows])
    trace = Trace("any", array("d", [row[2] for row in rows]), array("d", [row[2] + row[1] for row in rows]))

    assert left_waiting(load, trace, BANDS) == pytest.approx(1 / 3.4)
