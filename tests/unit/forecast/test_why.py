"""Why a job waits: from facts to sentences and times."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from jobsched.board import Flying, Waiting
from jobsched.domain import Status
from jobsched.forecast.why import Facts, expected, reasons

NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=timezone.utc)
FIRST = Waiting(
    site=1, band="task_04", place=1, length=1, site_place=1, sites=1, policy="balanced", points=3, boost=0.0, share=0.0,
    age=0.0, size=0.0, virtual=0.0, ages=0.0, running=0, max_running=None, paused=False, due=None, lane_paused=False,
    flying=0, crew=1, half_s=1.0, most_s=4.0,
)
PENDING = Facts(
    now=NOW, status=Status.PENDING, label="1s", attempt=0, max_attempts=3, run_at=None, started_at=None,
    finished_at=None, site_paused=False, lane_paused=False, place=FIRST, trouble=None, workers=2, dispatchers=1,
    prospect=None, sweep_every_s=5.0,
)
LOST: dict[str, Any] = {"place": None, "workers": None, "dispatchers": None}


def codes(facts: Facts) -> list[str]:
    return [reason.code for reason in reasons(facts)]


def waits(**changes: Any) -> Facts:
    """A job on its line, first of all unless the changes say otherwise."""
    return replace(PENDING, place=replace(FIRST, **changes))


@pytest.mark.parametrize(("facts", "code", "text"), [
    (PENDING, "next", "Nothing holds it: it goes next."),
    (waits(place=3, length=5), "line", "2 jobs of its site go first."),
    (waits(place=2, length=5), "line", "1 job of its site goes first."),
    (waits(site_place=4, sites=9), "sites", "3 other sites of the 1s lane go first."),
    (waits(flying=2), "workers_busy", "The workers are busy: 2 jobs of the 1s lane are in flight."),
    (waits(running=4, max_running=4), "max_running", "Its site has 4 of at most 4 jobs in flight."),
    (waits(due=NOW.timestamp() + 3), "rate", "Its site has reached its rate: its next job may start at 12:00:03 UTC."),
    (waits(paused=True), "site_paused", "Its site is paused."),
    (replace(PENDING, site_paused=True), "site_paused", "Its site is paused."),
    (waits(lane_paused=True), "lane_paused", "The 1s lane is paused."),
    (replace(PENDING, lane_paused=True), "lane_paused", "The 1s lane is paused."),
    (replace(PENDING, workers=0), "no_worker", "No worker is alive for the 1s lane."),
    (replace(PENDING, dispatchers=0), "no_dispatcher", "No dispatcher is alive to hand it to a worker."),
    (replace(PENDING, attempt=1), "again", "It was started once before, so it runs in a slice of its own."),
    (replace(PENDING, place=None), "not_on_board", "It is not on the board yet: the sweep, every 5 s, will add it."),
    (replace(PENDING, **LOST, trouble="redis_away"), "redis_away",
     "Redis does not answer: the job is kept, and continues once Redis is back."),
    (replace(PENDING, **LOST, trouble="board_lost"), "board_lost",
     "The board is not set up, or lost: a dispatcher builds it from the database."),
    (replace(PENDING, place=Flying("s-1", "task_04", False, 0.1, 0.5)), "in_queue",
     "It waits in the queue of the 1s lane until a worker is free."),
    (replace(PENDING, place=Flying("s-1", "task_04", True, None, None)), "starting",
     "A worker has its slice and is about to start it."),
    (replace(PENDING, status=Status.RUNNING, attempt=2, started_at=NOW - timedelta(seconds=9), place=None), "running",
     "It runs since 11:59:51 UTC: start 2 of at most 3."),
    (replace(PENDING, status=Status.COMPLETED, finished_at=NOW - timedelta(days=1)), "completed",
     "It has ended: completed at 2029-12-31 12:00:00 UTC."),
    (replace(PENDING, status=Status.SCHEDULED, place=None, run_at=NOW + timedelta(hours=1)), "scheduled",
     "It is scheduled for 13:00:00 UTC."),
    (replace(PENDING, status=Status.SCHEDULED, place=None, attempt=1, run_at=NOW + timedelta(seconds=2)), "retry",
     "Start 1 of at most 3 failed: the next start waits until 12:00:02 UTC."),
    (replace(PENDING, status=Status.SCHEDULED, place=None, run_at=NOW), "due",
     "Its time has come: the scheduler or the sweep will make it pending."),
])
def test_a_reason_is_told_by_a_code_and_a_sentence(facts: Facts, code: str, text: str) -> None:
    assert [(reason.code, reason.text) for reason in reasons(facts)] == [(code, text)]


def test_all_that_holds_a_job_is_told_and_what_stops_it_altogether_comes_first() -> None:
    facts = replace(waits(place=2, length=2, running=1, max_running=1, due=NOW.timestamp() + 60, flying=1, paused=True,
                          lane_paused=True, site_place=None), workers=0, dispatchers=0, attempt=2)

    assert codes(facts) == ["site_paused", "lane_paused", "no_worker", "no_dispatcher", "max_running", "rate", "line",
                            "workers_busy", "again"]


def test_pauses_do_not_reach_what_is_in_a_queue() -> None:
    queued = replace(PENDING, place=Flying("s-1", "task_04", False, 0.1, 0.5), site_paused=True, lane_paused=True,
                     dispatchers=0)

    assert codes(queued) == ["in_queue"]
    assert expected(queued) is not None
    assert codes(replace(queued, workers=0)) == ["no_worker", "in_queue"]
    assert expected(replace(queued, workers=0)) is None


def test_a_limit_that_ends_at_a_known_moment_names_it() -> None:
    [reason] = reasons(waits(due=NOW.timestamp() + 3))
    assert reason.until == NOW + timedelta(seconds=3)


def test_the_expected_start_is_what_the_board_says_from_now() -> None:
    told = expected(PENDING)
    assert told is not None
    assert (told.half - NOW, told.most - NOW) == (timedelta(seconds=1), timedelta(seconds=4))


def test_a_scheduled_job_is_told_its_time_and_what_one_placed_now_would_be_told() -> None:
    told = expected(replace(PENDING, status=Status.SCHEDULED, place=None, run_at=NOW + timedelta(hours=1),
                            prospect=(2.0, 8.0)))
    assert told is not None
    assert (told.half - NOW, told.most - NOW) == (timedelta(seconds=3602), timedelta(seconds=3608))


def test_one_that_the_sweep_will_place_is_told_that_too() -> None:
    told = expected(replace(PENDING, place=None, prospect=(2.0, 8.0)))
    assert told is not None
    assert (told.half - NOW, told.most - NOW) == (timedelta(seconds=4.5), timedelta(seconds=13))


@pytest.mark.parametrize("facts", [
    waits(paused=True), replace(PENDING, site_paused=True), waits(lane_paused=True), replace(PENDING, workers=0),
    replace(PENDING, dispatchers=0), replace(PENDING, **LOST, trouble="redis_away"),
    replace(PENDING, **LOST, trouble="board_lost"), waits(half_s=None, most_s=None),
    replace(PENDING, status=Status.RUNNING), replace(PENDING, status=Status.FAILED),
    replace(PENDING, place=Flying("s-1", "task_04", True, None, None)),
    replace(PENDING, status=Status.SCHEDULED, place=None, run_at=NOW, site_paused=True, prospect=(1.0, 2.0)),
])
def test_nothing_is_expected_where_nothing_would_start_the_job_or_it_has_started(facts: Facts) -> None:
    assert expected(facts) is None


def test_a_start_beyond_what_dates_can_hold_is_told_as_far_off() -> None:
    told = expected(waits(half_s=1e300, most_s=float("inf")))
    assert told is not None
    assert told.most == told.half == NOW + timedelta(days=3650)
