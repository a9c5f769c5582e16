"""Turns every error into an answer: problem+json (RFC 9457), or a page for a browser."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from redis.exceptions import RedisError
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from werkzeug.exceptions import HTTPException

from jobsched.base import database_errors
from jobsched.base.database_errors import Kind
from jobsched.base.jsontext import dumps
from jobsched.domain import BoardLost, Conflict, FieldError, Invalid, NotFound, TooManyPending
from jobsched.ledger import database, schema
from jobsched.web import current
from jobsched.web.http import negotiate

log = logging.getLogger(__name__)

MIMETYPE = "application/problem+json"
#: The most faults that one answer lists.
MOST_ERRORS = 1000
#: When to come back to a database that is away, or to a site without room of which no more is known, in seconds.
RETRY_AFTER_S = 5
MOST_RETRY_AFTER_S = 60


class Problem(Exception):
    """An answer other than what was asked for; ``detail`` says what was wrong and what would be right."""

    def __init__(self, status: int, detail: str, errors: Sequence[FieldError] = (),
                 headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """The problem as RFC 9457 spells it, with ``errors``: a JSON pointer and a sentence for each fault."""
        document: dict[str, Any] = {
            "type": "about:blank", "title": _title(self.status), "status": self.status, "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [{"pointer": e.pointer, "detail": e.detail} for e in self.errors[:MOST_ERRORS]]
        return document


def install(app: Flask) -> None:
    """Have the application answer every error with :func:`answer`."""
    app.register_error_handler(Exception, answer)


def answer(error: Exception) -> Response:
    """The answer to an error, whatever it is; never with a traceback."""
    problem = problem_of(error)
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("unexpected error", exc_info=error)
    response = _page(problem) if negotiate.wants_html() else None
    if response is None:
        response = Response(dumps(problem.body), problem.status, mimetype=MIMETYPE)
    response.headers.update(problem.headers)
    response.vary.add("Accept")
    return response


def problem_of(error: Exception) -> Problem:
    """The problem that an error is to the client."""
    match error:
        case Problem():
            return error
        case Invalid():
            return Problem(422, _count(len(error.errors)), error.errors)
        case TooManyPending():
            again_s = _room_in_s(error)
            detail = f"nothing was changed: there is no room for so many waiting jobs; try again in {again_s} s"
            return Problem(429, detail, error.errors, {"Retry-After": str(again_s)})
        case NotFound():
            return Problem(404, str(error))
        case Conflict():
            return Problem(409, str(error))
        case HTTPException():
            return _of_http(error)
        case SQLAlchemyError():
            return _of_database(error)
    return Problem(500, "something went wrong here; it has been logged")


def _room_in_s(error: TooManyPending) -> int:
    """When to come back with jobs that did not fit: what waits is worked off evenly, as far as is known."""
    if error.paused:
        return MOST_RETRY_AFTER_S
    try:
        board = current.board()
        workers, work_s = len(board.presence.alive("worker")), sum(lane.backlog_s for lane in board.view.lanes())
    except (RedisError, BoardLost):
        return RETRY_AFTER_S
    if not workers or not work_s:
        return RETRY_AFTER_S
    return min(MOST_RETRY_AFTER_S, max(1, math.ceil(error.share * work_s / workers)))


def _of_http(error: HTTPException) -> Problem:
    status = error.code or 500
    kept = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    if error.description and error.description != type(error).description:
        detail = error.description
    elif status == HTTPStatus.NOT_FOUND:
        detail = f"nothing is at {request.path}; / lists every address"
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.path} does not take {request.method}, but {kept.get('Allow', 'nothing')}"
    else:
        detail = error.description or _title(status)
    return Problem(status, detail, headers=kept)


def _of_database(error: SQLAlchemyError) -> Problem:
    kind, said = database_errors.meaning(error).kind, database_errors.sentence(error)
    if kind is not Kind.AWAY and (lack := _shortfall()):
        log.error("%s", lack)
        return _later(lack)
    if isinstance(error, IntegrityError):
        return Problem(409, "something that this refers to has just been changed or deleted; look again, and retry")
    if kind is Kind.BUG:
        return problem_of(RuntimeError())
    if kind is Kind.REFUSED:
        log.warning("%s that our own checks let pass", said, exc_info=error)
        return Problem(422, f"nothing was changed: {said} that was sent")
    log.log(logging.ERROR if kind is Kind.UNFIT else logging.WARNING, "%s", said)
    return _later(said)


def _later(why: str) -> Problem:
    detail = f"{why}; try again in {RETRY_AFTER_S} s"
    return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def _shortfall() -> str | None:
    """What the database lacks for this version: then that, and not the error it led to, is what has to be known."""
    try:
        with database.reading() as session:
            return schema.shortfall(session)
    except SQLAlchemyError:
        return None


def _page(problem: Problem) -> Response | None:
    """The problem for a browser; None when even that page fails, so that the answer is still the problem's own."""
    try:
        return negotiate.page("problem.html", problem.status, problem=problem.body)
    except Exception:
        log.exception("the page for a problem failed")
        return None


def _count(faults: int) -> str:
    if faults > MOST_ERRORS:
        return f"nothing was changed: {faults} faults, of which the first {MOST_ERRORS} are listed"
    return f"nothing was changed: {faults} fault{'s' if faults != 1 else ''}"


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Problem"
