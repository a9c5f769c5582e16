"""The addresses of the controls: pause and resume lanes, choose the policy.

Each choice is committed to SQL, and then the board changes. The dashboard shows and sets both, so browsers are
redirected there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import cast

from flask import Blueprint, Response, request, url_for
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jobsched.base.jsontext import dumps
from jobsched.board import Lane
from jobsched.board.without_redis import if_redis_answers
from jobsched.domain import Band, Invalid, Status
from jobsched.intake import controls
from jobsched.ledger.database import reading
from jobsched.ledger.models import Job
from jobsched.policy import POLICIES
from jobsched.web import current
from jobsched.web.api.openapi import Operation
from jobsched.web.http import body, negotiate, validation
from jobsched.web.http.problems import Problem
from jobsched.web.schemas import LaneOut, PolicyIn, PolicyOut, PolicyRow


def lanes() -> Response:
    """Every lane, the quickest first."""
    if negotiate.wants_html():
        return negotiate.see_other(_dashboard())
    with reading() as session:
        return negotiate.json_answer(dumps(_lanes(session)))


def pause(name: str) -> Response:
    """Stop a lane."""
    return _pause(name, paused=True)


def resume(name: str) -> Response:
    """Let a lane go on."""
    return _pause(name, paused=False)


def policy() -> Response:
    """Which policy there is, and which others."""
    if negotiate.wants_html():
        return negotiate.see_other(_dashboard())
    return negotiate.json_answer(dumps(_policy()))


def choose() -> Response:
    """Go by another policy."""
    drafts, errors = validation.one(PolicyIn, body.read())
    if errors:
        raise Invalid(errors)
    with _setting() as session:
        controls.choose_policy(session, drafts[""].policy)
    if negotiate.wants_html():
        return negotiate.see_other(negotiate.back(_dashboard()))
    return policy()


@contextmanager
def _setting() -> Iterator[Session]:
    """A transaction that sets controls; without Redis, the next sweep applies them to the board."""
    with (if_redis_answers("tell the board what was set"),
          controls.setting(current.board(), current.settings()) as session):
        yield session


def _pause(name: str, *, paused: bool) -> Response:
    band = _band(name)
    with _setting() as session:
        controls.pause_lane(session, band.name, paused=paused)
    if negotiate.wants_html():
        return negotiate.see_other(negotiate.back(_dashboard()))
    with reading() as session:
        found = next(lane for lane in _lanes(session) if lane["name"] == band.name)
    return negotiate.json_answer(dumps(found))


def _band(name: str) -> Band:
    try:
        return current.band(name)
    except LookupError as known:
        raise Problem(404, f"no lane {name}: there are {known}") from known


def _lanes(session: Session) -> list[LaneOut]:
    lanes: dict[str, Lane] = {}
    with if_redis_answers("read how full the lanes are"):
        lanes = {lane.band: lane for lane in current.board().view.lanes()}
    pending = {} if lanes else _pending(session)
    paused = controls.paused_lanes(session)
    return [_lane(band, lanes.get(band.name), pending.get(band.name, 0), band.name in paused)
            for band in current.settings().bands]


def _lane(band: Band, lane: Lane | None, pending: int, paused: bool) -> LaneOut:
    root, here = request.script_root, f"{request.script_root}/lanes/{band.name}"
    move = "resume" if paused else "pause"
    return {
        "name": band.name,
        "label": band.label,
        "queue": band.queue,
        "waiting": lane.waiting if lane else pending,
        "flying": lane.flying if lane else None,
        "sites": lane.sites if lane else None,
        "backlog_s": lane.backlog_s if lane else None,
        "paused": paused,
        "links": {"jobs": f"{root}/jobs?band={band.name}", move: f"{here}/{move}"},
    }


def _pending(session: Session) -> dict[str, int]:
    rows = select(Job.band, func.count()).where(Job.status == Status.PENDING).group_by(Job.band)
    return {band: int(n) for band, n in session.execute(rows)}


def _policy() -> PolicyOut:
    now = controls.in_force(current.board(), current.settings())
    return {
        "policy": now.policy.name,
        "chosen_at_run_time": now.chosen,
        "policies": [cast("PolicyRow", asdict(known)) for known in POLICIES.values()],
    }


def _dashboard() -> str:
    return url_for("index")


routes = Blueprint("controls", __name__)
for _rule, _method, _view, _operation in (
    ("/lanes", "GET", lanes, Operation("List the lanes, shortest jobs first", {200: list[LaneOut], 303: None})),
    ("/lanes/<name>/pause", "POST", pause, Operation(
        "Pause a lane, by name or label; jobs in flight continue", {200: LaneOut, 303: None})),
    ("/lanes/<name>/resume", "POST", resume, Operation("Resume a lane", {200: LaneOut, 303: None})),
    ("/policy", "GET", policy, Operation("Show the policy, and all policies", {200: PolicyOut, 303: None})),
    ("/policy", "PUT", choose, Operation(
        "Change the policy; all waiting jobs are scored again", {200: PolicyOut, 303: None}, body=PolicyIn)),
    ("/policy", "POST", choose, Operation(
        "The same as PUT, for browsers' forms", {200: PolicyOut, 303: None}, body=PolicyIn)),
):
    routes.add_url_rule(_rule, f"{_method.lower()}_{_view.__name__}", _operation.on(_view), methods=[_method])
