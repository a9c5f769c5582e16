"""The shared vocabulary, as tables."""

from __future__ import annotations

import pytest

from jobsched.domain import (
    TERMINAL,
    TRANSITIONS,
    WAITING,
    Bands,
    ExecutionTimeTooLong,
    FieldError,
    Invalid,
    Status,
    tier_of,
    tiers_of,
)
from tests.support import BANDS, TIERS


@pytest.mark.parametrize(("seconds", "name"), [
    (1e-9, "task_01"), (0.001, "task_01"), (0.0010001, "task_02"),
    (0.01, "task_02"), (0.010001, "task_03"),
    (0.1, "task_03"), (0.10001, "task_04"),
    (1, "task_04"), (1.0, "task_04"), (1.0001, "task_05"),
    (9.8887, "task_05"), (10.0, "task_05"),
])
def test_a_band_holds_its_upper_bound(seconds: float, name: str) -> None:
    assert BANDS.holding(seconds).name == name


@pytest.mark.parametrize("seconds", [10.000001, 1e300, float("inf")])
def test_no_band_holds_more_than_the_last_bound(seconds: float) -> None:
    with pytest.raises(ExecutionTimeTooLong, match="at most 10 s") as raised:
        BANDS.holding(seconds)
    assert (raised.value.execution_time, raised.value.bound_s) == (seconds, 10.0)


def test_a_time_just_above_the_last_bound_is_not_rounded_down_to_it() -> None:
    with pytest.raises(ExecutionTimeTooLong, match=r"at most 10 s, .*; got 10\.0000001$"):
        BANDS.holding(10.0000001)


def test_the_quickest_band_weighs_most() -> None:
    assert [(band.name, band.bound_s, band.weight) for band in BANDS] == [
        ("task_01", 0.001, 5), ("task_02", 0.01, 4), ("task_03", 0.1, 3), ("task_04", 1.0, 2), ("task_05", 10.0, 1),
    ]


@pytest.mark.parametrize(("bound_s", "label"), [
    (0.0005, "0.5ms"), (0.001, "1ms"), (0.01, "10ms"), (0.1, "100ms"), (0.25, "250ms"), (1, "1s"), (1.5, "1.5s"),
    (10, "10s"), (60, "1m"), (90, "90s"), (300, "5m"), (3600, "1h"), (5400, "90m"), (7200, "2h"),
])
def test_a_band_is_labelled_and_its_queue_named_by_its_bound(bound_s: float, label: str) -> None:
    [band] = Bands.of([bound_s])
    assert (band.label, band.queue) == (label, f"band-{label}")


@pytest.mark.parametrize("bounds", [[], [0.0], [1e-320, 1.0], [9e-7], [-1.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
def test_bands_need_ascending_bounds_above_zero(bounds: list[float]) -> None:
    with pytest.raises(ValueError, match="ascending upper bounds"):
        Bands.of(bounds)


def test_a_band_is_found_by_its_name_and_one_that_is_no_more_goes_by_its_name() -> None:
    assert (BANDS.named("task_04"), BANDS.named("task_06")) == (BANDS[3], None)
    assert (BANDS.label("task_04"), BANDS.label("task_06")) == ("1s", "task_06")
    assert (BANDS.names[-1], BANDS.longest) == ("task_05", BANDS[4])


@pytest.mark.parametrize(("pending", "name", "weight"), [
    (0, "Active", 1), (4, "Active", 1), (5, "VeryActive", 2), (9, "VeryActive", 2), (10, "HyperActive", 3),
    (1_000_000, "HyperActive", 3),
])
def test_a_tier_begins_at_its_border(pending: int, name: str, weight: int) -> None:
    tier = tier_of(pending, TIERS)
    assert (tier.name, tier.weight) == (name, weight)


@pytest.mark.parametrize("borders", [[], [5], [0, 5], [5, 5], [10, 5], [1, 2, 3]])
def test_tiers_need_two_ascending_borders_above_zero(borders: list[int]) -> None:
    with pytest.raises(ValueError, match="two ascending counts"):
        tiers_of(borders)


def test_every_status_says_what_may_follow() -> None:
    assert set(TRANSITIONS) == set(Status)
    assert set().union(*TRANSITIONS.values()) <= set(Status)
    assert all(status not in follows for status, follows in TRANSITIONS.items())


def test_every_status_is_reached_from_waiting() -> None:
    reached = set(WAITING)
    while onwards := set().union(*(TRANSITIONS[status] for status in reached)) - reached:
        reached |= onwards
    assert reached == set(Status)


def test_a_job_waits_runs_or_has_ended() -> None:
    assert sorted([*WAITING, Status.RUNNING, *TERMINAL]) == sorted(Status)


def test_only_a_running_job_completes_or_fails() -> None:
    for end in (Status.COMPLETED, Status.FAILED):
        assert [status for status, follows in TRANSITIONS.items() if end in follows] == [Status.RUNNING]


def test_nothing_follows_a_completed_job() -> None:
    assert TRANSITIONS[Status.COMPLETED] == frozenset()


def test_a_status_reads_as_its_value() -> None:
    assert (str(Status.PENDING), f"{Status.RUNNING}", Status("failed")) == ("pending", "running", Status.FAILED)


def test_an_invalid_request_names_each_fault() -> None:
    error = Invalid([FieldError("/0/user", "no user record 9"), FieldError("/1/site", "no site 8")])
    assert str(error) == "/0/user: no user record 9; /1/site: no site 8"
