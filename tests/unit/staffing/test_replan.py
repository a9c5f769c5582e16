"""When a new plan takes effect: not after a single reading, and not back and forth."""

from __future__ import annotations

import pytest

from jobsched.staffing.plan import Slot, slots
from jobsched.staffing.replan import AGREED, Agreement
from tests.support import BANDS

LONG = slots(4, BANDS)
SHORT = slots(4, BANDS, {"task_02": 3.0, "task_05": 0.5})
EVEN = slots(4, BANDS, {"task_02": 1.0, "task_05": 1.0})


def test_a_plan_that_is_wanted_again_and_again_becomes_the_present_one() -> None:
    agreement = Agreement(LONG)

    assert [agreement.propose(SHORT) for _ in range(AGREED)] == [False] * (AGREED - 1) + [True]
    assert sorted(map(repr, agreement.present)) == sorted(map(repr, SHORT))
    assert not agreement.propose(SHORT)


def test_looks_that_differ_change_nothing() -> None:
    agreement = Agreement(LONG)

    assert not any(agreement.propose(plan) for plan in [SHORT, EVEN] * AGREED)
    assert agreement.present == LONG


def test_the_present_plan_comes_between_and_the_count_begins_anew() -> None:
    agreement = Agreement(LONG)
    looks = [*[SHORT] * (AGREED - 1), LONG] * 3

    assert not any(agreement.propose(plan) for plan in looks)


def test_the_order_of_a_plan_does_not_matter() -> None:
    agreement = Agreement(LONG)

    assert not any(agreement.propose(LONG[::-1]) for _ in range(2 * AGREED))
    assert agreement.present == LONG


@pytest.mark.parametrize("wanted", [EVEN, EVEN[::-1]], ids=["in order", "reversed"])
def test_workers_who_need_not_change_keep_their_place(wanted: list[Slot]) -> None:
    agreement = Agreement(LONG)
    for _ in range(AGREED):
        agreement.propose(wanted)

    assert sum(one == other for one, other in zip(LONG, agreement.present, strict=True)) == 3
