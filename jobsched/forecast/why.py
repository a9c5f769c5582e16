"""Explains in sentences why a job has not started, and when it is expected to. Pure: facts in, reasons out.

The facts of a waiting job are a :class:`jobsched.board.Waiting`; its forecast is already calibrated. Here it becomes
times, or None if nothing would start the job in the present state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from jobsched.board import Aside, Flying, Waiting
from jobsched.domain import TERMINAL, Status

#: While one of these holds, nothing starts the job.
BLOCKING = frozenset({"site_paused", "lane_paused", "no_worker", "no_dispatcher", "redis_away", "redis_full",
                      "redis_refuses", "board_lost", "suspended", "unknown_task"})

#: The most names of tasks that one sentence lists.
MOST_NAMED = 20


@dataclass(frozen=True)
class Facts:
    """What is known of a job at ``now``. ``label`` names its lane.

    ``site_paused`` and ``lane_paused`` are those in SQL. ``place`` is the board's answer, None for a job that it does
    not know; ``trouble`` is ``redis_away``, ``redis_full``, ``redis_refuses`` (of both, ``said`` has the sentence) or
    ``board_lost`` where it said nothing, and then the counts of live ``workers`` of the lane and of ``dispatchers`` are
    None. ``suspended_s`` is for how long RQ's workers are suspended, if they are (infinite: until somebody resumes
    them). ``prospect`` is the forecast for a job that is placed now: half, and nine in ten, start within so many
    seconds. The sweep runs every ``sweep_every_s``. ``known`` are the tasks of the lane's living workers, None until
    one has reported them.
    """

    now: datetime
    status: Status
    label: str
    attempt: int
    max_attempts: int
    run_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    site_paused: bool
    lane_paused: bool
    place: Waiting | Flying | Aside | None
    trouble: str | None
    workers: int | None
    dispatchers: int | None
    prospect: tuple[float, float] | None
    sweep_every_s: float
    said: str | None = None
    suspended_s: float | None = None
    task: str = ""
    known: frozenset[str] | None = None


@dataclass(frozen=True)
class Reason:
    """Something that holds a job: a code and a sentence. ``until`` is when it ends, if that is known."""

    code: str
    text: str
    until: datetime | None = None


@dataclass(frozen=True)
class Expected:
    """Half of such jobs have started by ``half``, nine in ten by ``most``."""

    half: datetime
    most: datetime


def reasons(facts: Facts) -> list[Reason]:
    """Everything that holds the job, blocking reasons first; for a job that has started or ended, that fact."""
    if facts.status in TERMINAL:
        return [_ended(facts)]
    if facts.status is Status.RUNNING:
        since = f" since {_clock(facts.started_at, facts.now)}" if facts.started_at else ""
        return [Reason("running", f"It runs{since}: start {facts.attempt} of at most {facts.max_attempts}.")]
    if isinstance(facts.place, Flying) and facts.status is Status.PENDING:
        return list(_in_flight(facts, facts.place))
    held = [*_stopped(facts), *_held(facts)]
    return held or [Reason("next", "Nothing holds it: it goes next.")]


def expected(facts: Facts) -> Expected | None:
    """When the job is expected to start; None if it has started, or if nothing would start it in the present state.

    For a scheduled job it is ``run_at`` plus the forecast for a job that is placed now at the end of its line. For a
    job that only the sweep will place, it is the time of the sweep plus that forecast.
    """
    if facts.status not in (Status.SCHEDULED, Status.PENDING):
        return None
    if any(reason.code in BLOCKING and reason.until is None for reason in reasons(facts)):
        return None
    if facts.suspended_s is not None:  # nothing moves until it ends: then it is as if it were now
        facts = replace(facts, now=_later(facts.now, facts.suspended_s), suspended_s=None)
    if isinstance(facts.place, Aside):  # no line, so nothing to count
        return None
    if facts.status is Status.PENDING and facts.place is not None:
        half_s, most_s = facts.place.half_s, facts.place.most_s
        if half_s is None or most_s is None:
            return None
        return Expected(_later(facts.now, half_s), _later(facts.now, most_s))
    if facts.prospect is None:
        return None
    half_s, most_s = facts.prospect
    if facts.status is Status.SCHEDULED:
        due = max(facts.now, facts.run_at or facts.now)
        return Expected(_later(due, half_s), _later(due, most_s))
    sweep_s = facts.sweep_every_s
    return Expected(_later(facts.now, half_s + sweep_s / 2), _later(facts.now, most_s + sweep_s))


def _ended(facts: Facts) -> Reason:
    when = f" at {_clock(facts.finished_at, facts.now)}" if facts.finished_at else ""
    return Reason(facts.status, f"It has ended: {facts.status}{when}.")


def _in_flight(facts: Facts, place: Flying) -> Iterator[Reason]:
    """The reasons of a dispatched job, which pauses no longer stop and which needs no dispatcher."""
    if facts.suspended_s is not None and not place.started:
        yield _suspended(facts, facts.suspended_s)
    if facts.workers == 0 and not place.started:
        yield _no_worker(facts)
    if place.started:
        yield Reason("starting", "A worker has its slice and is about to start it.")
    else:
        yield Reason("in_queue", f"It waits in the queue of the {facts.label} lane until a worker is free.")


def _stopped(facts: Facts) -> Iterator[Reason]:
    """The blocking reasons: each must end before anything starts the job."""
    place = facts.place if isinstance(facts.place, Waiting) else None
    if facts.trouble == "redis_away":
        yield Reason("redis_away", "Redis does not answer: the job is kept, and continues once Redis is back.")
    if facts.trouble in ("redis_full", "redis_refuses"):
        yield Reason(facts.trouble, f"{facts.said}. The job is kept, and continues once that is fixed.")
    if facts.trouble == "board_lost":
        yield Reason("board_lost", "The board is not set up, or lost: a dispatcher builds it from the database.")
    if facts.site_paused or (place and place.paused):
        yield Reason("site_paused", "Its site is paused.")
    if facts.lane_paused or (place and place.lane_paused):
        yield Reason("lane_paused", f"The {facts.label} lane is paused.")
    if facts.suspended_s is not None:
        yield _suspended(facts, facts.suspended_s)
    if facts.workers == 0:
        yield _no_worker(facts)
    elif not _is_known(facts):
        yield _unknown_task(facts)
    if facts.dispatchers == 0:
        yield Reason("no_dispatcher", "No dispatcher is alive to hand it to a worker.")


def _held(facts: Facts) -> Iterator[Reason]:
    """The reasons that pass without anybody's help."""
    if facts.status is Status.SCHEDULED:
        yield _scheduled(facts)
    elif isinstance(facts.place, Aside):
        if _is_known(facts):
            yield Reason("aside", f"A worker without the task {facts.task!r} has set it aside, for a worker with it.")
    elif isinstance(facts.place, Waiting):
        yield from _by_limits(facts, facts.place)
        yield from _by_others(facts, facts.place)
    elif facts.place is None and facts.trouble is None:
        every = f"{facts.sweep_every_s:g} s"
        yield Reason("not_on_board", f"It is not on the board yet: the sweep, every {every}, will add it.")


def _scheduled(facts: Facts) -> Reason:
    until = facts.run_at
    if until is None or until <= facts.now:
        return Reason("due", "Its time has come: the scheduler or the sweep will make it pending.")
    when = _clock(until, facts.now)
    if facts.attempt:
        text = f"Start {facts.attempt} of at most {facts.max_attempts} failed: the next start waits until {when}."
        return Reason("retry", text, until)
    return Reason("scheduled", f"It is scheduled for {when}.", until)


def _by_limits(facts: Facts, place: Waiting) -> Iterator[Reason]:
    if place.max_running is not None and place.running >= place.max_running:
        yield Reason("max_running", f"Its site has {place.running} of at most {place.max_running} jobs in flight.")
    if place.due is not None:
        until = datetime.fromtimestamp(place.due, tz=facts.now.tzinfo)
        when = _clock(until, facts.now)
        yield Reason("rate", f"Its site has reached its rate: its next job may start at {when}.", until)


def _by_others(facts: Facts, place: Waiting) -> Iterator[Reason]:
    if place.place > 1:
        yield Reason("line", f"{_count(place.place - 1, 'job')} of its site {_go(place.place - 1)} first.")
    if place.site_place is not None and place.site_place > 1:
        ahead = place.site_place - 1
        yield Reason("sites", f"{_count(ahead, 'other site')} of the {facts.label} lane {_go(ahead)} first.")
    if place.flying:
        having = "is" if place.flying == 1 else "are"
        text = f"The workers are busy: {_count(place.flying, 'job')} of the {facts.label} lane {having} in flight."
        yield Reason("workers_busy", text)
    if facts.attempt:
        times = "once" if facts.attempt == 1 else f"{facts.attempt} times"
        yield Reason("again", f"It was started {times} before, so it runs in a slice of its own.")


def _suspended(facts: Facts, left_s: float) -> Reason:
    if math.isinf(left_s):
        return Reason("suspended", "The workers are suspended (rq suspend): nothing starts until rq resume.")
    until = _later(facts.now, left_s)
    when = _clock(until, facts.now)
    return Reason("suspended", f"The workers are suspended (rq suspend) until {when}: nothing starts before.", until)


def _no_worker(facts: Facts) -> Reason:
    return Reason("no_worker", f"No worker is alive for the {facts.label} lane.")


def _is_known(facts: Facts) -> bool:
    return facts.known is None or facts.task in facts.known


def _unknown_task(facts: Facts) -> Reason:
    known = sorted(facts.known or ())
    named = ", ".join(known[:MOST_NAMED]) + (f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else "")
    return Reason("unknown_task", f"No living worker of the {facts.label} lane has the task {facts.task!r}: it waits "
                                  f"for a worker that does. They have {named or 'no tasks'}.")


def _go(count: int) -> str:
    return "goes" if count == 1 else "go"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _later(moment: datetime, seconds: float) -> datetime:
    """The time after so many seconds; at most ten years, so that dates can hold it."""
    return moment + timedelta(seconds=min(seconds, 10 * 365 * 86_400.0))


def _clock(moment: datetime | None, now: datetime) -> str:
    """The time of day in UTC, with the date unless it is today."""
    if moment is None:
        return "an unknown time"
    moment = moment.astimezone(now.tzinfo)
    return f"{moment:%H:%M:%S} UTC" if moment.date() == now.date() else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
