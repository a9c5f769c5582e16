"""``/healthz`` and ``/readyz``: whether the process is up, and whether newly submitted jobs will run."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flask import Response
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from jobsched.base import aside, bugs, database_errors, redis_errors
from jobsched.base.jsontext import dumps
from jobsched.base.redis_errors import Sort
from jobsched.board import State
from jobsched.domain import BoardLost
from jobsched.ledger import database, schema
from jobsched.queues import key_watch, redis_state, seal
from jobsched.queues.registered_workers import workers
from jobsched.web import current
from jobsched.web.http import negotiate
from jobsched.web.schemas import CheckOut, ReadyOut

log = logging.getLogger(__name__)


class _NotReady(Exception):
    """A part answers, and yet nothing will run; says why, and what would help."""


def healthz() -> Response:
    """The process answers."""
    return negotiate.json_answer(dumps({"status": "ok"}))


def readyz() -> Response:
    """Every part that a job needs, each by its name; 503 while one is missing."""
    checks: dict[str, CheckOut] = {}
    for name, look in _CHECKS.items():
        known = name in _BESIDE_REDIS or checks["redis"]["ok"]
        checks[name] = _check(look) if known else {"ok": False, "detail": "not known while Redis has its trouble"}
    ready: ReadyOut = {
        "ready": all(check["ok"] for check in checks.values()), "checks": checks, "warnings": _warnings(),
    }
    return negotiate.json_answer(dumps(ready), 200 if ready["ready"] else 503)


def _check(look: Callable[[], str | None]) -> CheckOut:
    try:
        found = look()
    except _NotReady as lack:
        return {"ok": False, "detail": str(lack)}
    except RedisError as error:
        bugs.log_once(log, "check whether all is ready", error)
        return {"ok": False, "detail": redis_errors.sentence(error)}
    except SQLAlchemyError as error:
        bugs.log_once(log, "check whether all is ready", error)
        return {"ok": False, "detail": database_errors.sentence(error)}
    except BoardLost as error:
        return {"ok": False, "detail": f"does not answer ({type(error).__name__})"}
    return {"ok": found is not None, "detail": found or "none is alive"}


def _database() -> str:
    """Jobs are rows that have to be written, so a database that only reads is not ready."""
    with database.reading() as session:
        if lack := schema.shortfall(session):
            raise _NotReady(lack)
    if lack := database.fault():
        raise _NotReady(lack)
    return "answers, and takes writes"


def _redis() -> str:
    state = redis_state.read(current.redis())
    if state.lack:
        raise _NotReady(state.lack)
    try:
        current.board().probe()
    except RedisError as error:
        if redis_errors.sort_of(error) is Sort.FULL:
            raise _NotReady(state.fullness) from error
        raise
    return "answers"


def _board() -> str:
    """Nothing that is submitted runs from a board that is lost, or can not be read, until it has been built again."""
    rules = current.board().rules
    state = rules.state()
    if state is State.LOST:
        raise _NotReady("it is not set up, or lost: a dispatcher builds it from the database")
    if state is State.BROKEN:
        why = aside.printable(rules.broken() or "its rules")
        raise _NotReady(f"it can not be read ({why}): a dispatcher builds it again from the database")
    rebuilt = rules.rebuilt()
    return "answers" if rebuilt is None else f"answers; it was built again, for it could not be read: {rebuilt}"


def _dispatchers() -> str | None:
    return ", ".join(sorted(current.board().presence.alive("dispatcher"))) or None


def _workers() -> str | None:
    """Workers of our own show themselves every few seconds; a plain ``rq worker`` only to RQ."""
    if suspension := redis_state.read(current.redis()).suspension:
        raise _NotReady(suspension)
    names = set(current.board().presence.alive("worker")) or {worker.name for worker in workers(current.redis())}
    return ", ".join(sorted(names)) or None


def _schedulers() -> str | None:
    """Without one, what is scheduled waits for a sweep, and what is done every so often is not done."""
    return ", ".join(sorted(current.board().presence.alive("scheduler"))) or None


def _key() -> str:
    board = current.board()
    if lack := seal.differs(board.presence.alive("key")):
        raise _NotReady(lack)
    return "is that of every dispatcher"


def _warnings() -> list[str]:
    try:
        return [*redis_state.read(current.redis()).warnings, *key_watch.warnings(current.board())]
    except RedisError:
        return []


#: The checks that do not need Redis.
_BESIDE_REDIS = ("database", "redis")
_CHECKS: dict[str, Callable[[], str | None]] = {
    "database": _database, "redis": _redis, "board": _board, "dispatcher": _dispatchers, "worker": _workers,
    "scheduler": _schedulers, "secret_key": _key,
}
