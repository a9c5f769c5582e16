"""``GET /jobs/<id>/why``: why a job waits, and when it is expected to start; a few point reads and one script."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, request
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from jobsched.base import redis_errors
from jobsched.base.jsontext import dumps
from jobsched.base.redis_errors import Sort
from jobsched.board import Aside, Board, Flying, Waiting
from jobsched.config import Settings
from jobsched.domain import BoardLost, Status
from jobsched.forecast.why import Expected, Facts, expected, reasons
from jobsched.intake import controls
from jobsched.ledger import lookup
from jobsched.ledger.database import reading
from jobsched.ledger.models import Job, Site, utcnow
from jobsched.queues import redis_state
from jobsched.queues.redis_state import RedisState
from jobsched.queues.registered_workers import listening
from jobsched.web import current
from jobsched.web.api.openapi import Operation
from jobsched.web.http import negotiate
from jobsched.web.schemas import ExpectedOut, PlaceOut, ScoreOut, WhyOut, stamp, stamp_or_none


def why(id: int) -> Response:
    """Why one job waits; a browser is led to its page, which says it as well."""
    if negotiate.wants_html():
        return negotiate.see_other(f"{request.script_root}/jobs/{id}")
    return negotiate.json_answer(dumps(explain(id)))


def explain(id_: int) -> WhyOut:
    """The answer as JSON. Raises NotFound."""
    with reading() as session:
        facts = gather(session, id_, current.settings(), current.board(), current.redis())
    place = facts.place if isinstance(facts.place, Waiting) and facts.status is Status.PENDING else None
    found = reasons(facts)
    return {
        "job": id_,
        "at": stamp(facts.now),
        "status": facts.status,
        "lane": facts.label,
        "line": _place(place.place, place.length) if place else None,
        "lane_order": _place(place.site_place, place.sites) if place and place.site_place else None,
        "score": _score(place) if place else None,
        "reasons": [{"code": r.code, "text": r.text, "until": stamp_or_none(r.until)} for r in found],
        "expected": _expected(expected(facts), facts),
        "links": {"job": f"{request.script_root}/jobs/{id_}"},
    }


@dataclass(frozen=True)
class _FromRedis:
    """What Redis knows of a job; see :class:`jobsched.forecast.why.Facts`."""

    place: Waiting | Flying | Aside | None = None
    trouble: str | None = None
    workers: int | None = None
    dispatchers: int | None = None
    prospect: tuple[float, float] | None = None
    said: str | None = None
    suspended_s: float | None = None
    known: frozenset[str] | None = None


def gather(session: Session, id_: int, settings: Settings, board: Board, redis: Redis) -> Facts:
    """All that is known of a job; without Redis what SQL knows. Raises NotFound."""
    job = lookup.find(session, Job, id_)
    site = session.get_one(Site, job.site_id)
    found = _ask(board, redis, job, settings) if job.status in (Status.PENDING, Status.SCHEDULED) else _FromRedis()
    return Facts(
        now=utcnow(), status=job.status, label=settings.bands.label(job.band), attempt=job.attempt,
        max_attempts=job.max_attempts, run_at=job.run_at, started_at=job.started_at, finished_at=job.finished_at,
        site_paused=site.paused, lane_paused=job.band in controls.paused_lanes(session), place=found.place,
        trouble=found.trouble, workers=found.workers, dispatchers=found.dispatchers, prospect=found.prospect,
        said=found.said, suspended_s=found.suspended_s, sweep_every_s=settings.repair_every_s,
        task=job.task, known=found.known,
    )


def _ask(board: Board, redis: Redis, job: Job, settings: Settings) -> _FromRedis:
    band = settings.bands.named(job.band)
    queue = band.queue if band else ""
    state = RedisState()
    try:
        state = redis_state.read(redis)
        if state.lack:
            return _FromRedis(trouble="redis_refuses", said=state.lack)
        board.probe()
        place, codes = board.view.why(job.id), board.codes.by_band().get(job.band, [])
        return _FromRedis(
            place, workers=listening(redis, queue), dispatchers=len(board.presence.alive("dispatcher")),
            suspended_s=state.suspended_s,
            prospect=board.view.prospect(job.site_id, job.band, job.execution_time) if place is None else None,
            known=frozenset(task for code in codes for task in code.tasks) if codes else None,
        )
    except BoardLost:
        return _FromRedis(trouble="board_lost")
    except RedisError as error:
        return _in_trouble(error, state)


def _in_trouble(error: RedisError, state: RedisState) -> _FromRedis:
    match redis_errors.sort_of(error):
        case Sort.FULL:
            return _FromRedis(trouble="redis_full", said=state.fullness)
        case Sort.REFUSED:
            return _FromRedis(trouble="redis_refuses", said=redis_errors.sentence(error))
    return _FromRedis(trouble="redis_away")


def _place(place: int, of: int) -> PlaceOut:
    return {"place": place, "of": of}


def _score(place: Waiting) -> ScoreOut:
    """The parts of the site's score. What all sites of the lane have alike is left out."""
    parts = (place.boost, place.share - place.virtual, place.age - place.ages, place.size)
    boost, share, age, size = (part + 0.0 for part in parts)  # no minus before a zero
    return {"policy": place.policy, "points": place.points, "total": boost + share + age + size, "boost": boost,
            "share": share, "age": age, "size": size}


def _expected(start: Expected | None, facts: Facts) -> ExpectedOut | None:
    if start is None:
        return None
    return {
        "p50": stamp(start.half), "p90": stamp(start.most),
        "p50_s": (start.half - facts.now).total_seconds(), "p90_s": (start.most - facts.now).total_seconds(),
    }


routes = Blueprint("why", __name__, url_prefix="/jobs/<id:id>")
routes.add_url_rule(
    "/why", "why", Operation("Why a job waits, and when it is expected to start", {200: WhyOut, 303: None}).on(why),
    methods=["GET"],
)
