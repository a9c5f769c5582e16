"""Values in a readable form."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from jobsched.domain import Status
from jobsched.web.pages import presentation
from jobsched.web.pages.timeline import timeline

NOW = datetime(2030, 1, 31, 12, 0, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(("seconds", "text"), [
    (None, "\u2013"), (0.0, "0 s"), (0.00045, "450 µs"), (0.001, "1 ms"), (0.42, "420 ms"), (0.9994, "999 ms"),
    (0.9996, "1 s"), (2.0, "2 s"), (9.8887, "9.89 s"), (12.34, "12.3 s"), (59.94, "59.9 s"), (59.96, "1 min"),
    (7, "7 s"), (185.4, "3 min 5 s"), (7380.0, "2 h 3 min"), (90_000.0, "1 d 1 h"), (86_400.0, "1 d"),
])
def test_durations_read_in_three_digits_and_the_unit_that_fits(seconds: float | None, text: str) -> None:
    assert presentation.duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (0.5, "now"), (12, "12 s ago"), (119, "1 min ago"), (-300, "in 5 min"), (7200, "2 h ago"), (864_000, "10 d ago"),
])
def test_moments_read_relative_to_now(seconds: float, text: str) -> None:
    assert presentation.ago(NOW - timedelta(seconds=seconds), NOW) == text


def test_a_time_element_holds_the_exact_moment() -> None:
    assert presentation.when("2030-01-31T11:59:00.123456Z", NOW) == (
        '<time datetime="2030-01-31T11:59:00.123Z" title="2030-01-31T11:59:00.123Z">59 s ago</time>')
    assert presentation.when(None, NOW) == "\u2013"


@pytest.mark.parametrize(("value", "digits", "text"), [
    (4.3, 2, "+4.30"), (-6.804, 2, "\u22126.80"), (-0.0, 2, "+0.00"), (-0.001, 2, "+0.00"), (0.0563, 4, "+0.0563"),
])
def test_parts_of_a_score_are_signed(value: float, digits: int, text: str) -> None:
    assert presentation.part(value, digits) == text


def test_thousands_are_set_apart() -> None:
    assert presentation.count(1_234_567) == "1\u202f234\u202f567"


def _job(status: Status, **seconds_ago: float) -> dict[str, object]:
    """A job as the API answers it, with its moments in seconds before NOW."""
    moments = {f"{name}_at": (NOW - timedelta(seconds=ago)).isoformat().replace("+00:00", "Z")
               for name, ago in seconds_ago.items()}
    return {"status": status.value, **moments}


def test_a_completed_job_waited_then_queued_then_ran() -> None:
    way = timeline(_job(Status.COMPLETED, submitted=10, enqueued=10, dispatched=6, started=5, finished=2), NOW)
    assert [step.label for step in way.steps] == ["Submitted", "Handed to a worker's queue", "Started", "Completed"]
    assert [(span.kind, span.seconds) for span in way.spans] == [("waited", 4), ("queued", 1), ("ran", 3)]
    assert [span.percent for span in way.spans] == pytest.approx([50, 12.5, 37.5])
    assert way.now is None


def test_a_job_that_waits_again_does_not_show_its_earlier_start() -> None:
    way = timeline(_job(Status.PENDING, submitted=100, enqueued=4, dispatched=60, started=50, finished=40), NOW)
    assert [step.label for step in way.steps] == ["Submitted", "In line"]
    assert [(span.kind, span.seconds) for span in way.spans] == [("waited", 4)]
    assert way.now == "Waits for its turn"


def test_a_scheduled_job_has_not_waited() -> None:
    way = timeline(_job(Status.SCHEDULED, submitted=5, enqueued=-60, run=-60), NOW)
    assert [step.label for step in way.steps] == ["Submitted", "Due"]
    assert way.spans == ()
    assert way.now == "Waits for its time"


def test_a_running_job_runs_until_now() -> None:
    way = timeline(_job(Status.RUNNING, submitted=10, enqueued=10, dispatched=8, started=7), NOW)
    assert [(span.kind, span.seconds) for span in way.spans][-1] == ("ran", 7)
    assert way.now == "Runs"


def test_a_stretch_too_short_to_see_is_drawn_and_told_as_it_is() -> None:
    way = timeline(_job(Status.COMPLETED, submitted=10, enqueued=10, dispatched=5, started=2, finished=1.999), NOW)
    assert way.spans[-1].seconds == pytest.approx(0.001)
    assert way.spans[-1].percent > 0.4
    assert sum(span.percent for span in way.spans) == pytest.approx(100)
