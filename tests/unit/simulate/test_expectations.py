"""How often the forecasts of starts held."""

from __future__ import annotations

import pytest

from jobsched.simulate.expectations import Look, kept


def test_what_was_kept_is_counted_by_group() -> None:
    starts = [4.0, 1.0]
    looks = [
        Look(0, at=0.0, half_s=1.0, most_s=3.0, on_board=True, later=False),  # starts after 4 s: neither holds
        Look(0, at=2.0, half_s=1.0, most_s=2.0, on_board=True, later=True),  # after 2 s: just within the p90
        Look(1, at=0.0, half_s=1.0, most_s=3.0, on_board=False, later=False),  # after 1 s: just within both
    ]

    told = kept(starts, looks, lambda job: job == 1)

    assert {group: (found.looks, found.p50_held, found.p90_held) for group, found in told.items()} == {
        "all": (3, pytest.approx(1 / 3), pytest.approx(2 / 3)), "quiet": (1, 1.0, 1.0),
        "board": (2, 0.0, 0.5), "queue": (1, 1.0, 1.0), "first": (2, 0.5, 0.5), "later": (1, 0.0, 1.0),
    }
    assert told["all"].width == 1.0  # 3 / 4, 2 / 2, 3 / 1: told over waited


def test_of_nobody_asked_nothing_was_kept() -> None:
    assert kept({1: 0.5}, [], lambda _: True) == {}
