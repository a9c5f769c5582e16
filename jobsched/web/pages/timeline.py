"""A job's timeline for people: its steps, and the time between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobsched.domain import Status
from jobsched.web.pages.presentation import parse

#: What a job in this status does now; the others have ended.
_NOW = {
    Status.SCHEDULED: "Waits for its time",
    Status.PENDING: "Waits for its turn",
    Status.RUNNING: "Runs",
}
_ENDS = {Status.COMPLETED: "Completed", Status.FAILED: "Failed", Status.CANCELLED: "Cancelled"}


@dataclass(frozen=True)
class Step:
    """Something that happened at a moment."""

    label: str
    at: datetime
    kind: str = ""


@dataclass(frozen=True)
class Span:
    """A stretch of time; ``from_percent`` and ``percent`` are of all spans together."""

    label: str
    kind: str
    seconds: float
    from_percent: float
    percent: float


@dataclass(frozen=True)
class Timeline:
    """The steps in order, the spans between them, and what the job does now (None: it has ended)."""

    steps: tuple[Step, ...]
    spans: tuple[Span, ...]
    now: str | None


def timeline(item: Mapping[str, Any], now: datetime) -> Timeline:
    """The way of a job as the API answers it."""
    status = Status(item["status"])
    at = {name: parse(item.get(f"{name}_at")) for name in
          ("submitted", "run", "enqueued", "dispatched", "started", "finished")}
    if status in (Status.SCHEDULED, Status.PENDING, Status.CANCELLED):
        at["dispatched"] = at["started"] = None  # those of an earlier start, if any
    if status not in _ENDS:
        at["finished"] = None
    if status is Status.SCHEDULED:
        at["enqueued"] = None
    return Timeline(_steps(status, at), _spans(at, now), _NOW.get(status))


def _steps(status: Status, at: Mapping[str, datetime | None]) -> tuple[Step, ...]:
    labelled = [
        ("submitted", "Submitted", ""),
        ("run", "Due", ""),
        ("enqueued", "In line", ""),
        ("dispatched", "Handed to a worker's queue", ""),
        ("started", "Started", ""),
        ("finished", _ENDS.get(status, ""), status),
    ]
    steps: list[Step] = []
    for name, label, kind in labelled:
        moment = at[name]
        if moment is None:
            continue
        # A job that need not wait for its time is on the board the moment it is submitted: one step, not two.
        if name == "enqueued" and any(step.at == moment for step in steps):
            continue
        steps.append(Step(label, moment, kind))
    return tuple(steps)


def _spans(at: Mapping[str, datetime | None], now: datetime) -> tuple[Span, ...]:
    """Waited on the board, waited in a queue, ran: as far as they can be known."""
    enqueued, dispatched, started = at["enqueued"], at["dispatched"], at["started"]
    end = at["finished"] or now
    if enqueued is None or enqueued > end:
        return ()
    lengths = [("waited on the board", "waited", enqueued, dispatched or started or end)]
    if dispatched and started:
        lengths.append(("in a worker's queue", "queued", dispatched, started))
    if started:
        lengths.append(("ran", "ran", started, end))
    seconds = [max(0.0, (until - since).total_seconds()) for _, _, since, until in lengths]
    # A stretch too short for its share of the bar is still drawn.
    shares = [max(length, 0.005 * sum(seconds)) for length in seconds]
    whole = sum(shares) or 1.0
    return tuple(
        Span(label, kind, length, 100 * sum(shares[:i]) / whole, 100 * shares[i] / whole)
        for i, ((label, kind, _, _), length) in enumerate(zip(lengths, seconds, strict=True))
    )
