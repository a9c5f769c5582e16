"""The dashboard: the page at ``/``, and the part of it that refreshes itself."""

from __future__ import annotations

from flask import Response, current_app, request
from redis import Redis

from jobsched.board import Board
from jobsched.config import Settings
from jobsched.domain import Status
from jobsched.ledger.database import reading
from jobsched.ledger.models import utcnow
from jobsched.web.http import negotiate
from jobsched.web.pages import snapshot
from jobsched.web.pages.throttled import Throttled

_COUNTS = "jobsched.dashboard.counts"


def show(board: Board, redis: Redis, settings: Settings) -> Response:
    """The dashboard, or only its live part for ``?part=live``; a live part that has not changed costs a 304."""
    counts: Throttled[dict[Status, int]] = current_app.extensions.setdefault(_COUNTS, Throttled())
    with reading() as session:
        taken = snapshot.take(session, board, redis, settings, utcnow(), counts)
    if request.args.get("part") != "live":
        return negotiate.page("dashboard.html", snapshot=taken)
    response = negotiate.page("dashboard_live.html", snapshot=taken)
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response
