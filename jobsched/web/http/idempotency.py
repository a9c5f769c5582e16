"""Idempotent POSTs: a repeat with the same ``Idempotency-Key`` gets the first answer and does nothing.

The answer is stored in the transaction that does the work, so there is never one without the other. Only successes are
stored: a refused request has changed nothing, and may be corrected and sent under the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from flask import request
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jobsched.domain import FieldError
from jobsched.ledger.database import reading, writing
from jobsched.ledger.models import IdempotencyKey, utcnow
from jobsched.web.http import body
from jobsched.web.http.problems import Problem

HEADER = "Idempotency-Key"
#: Says of an answer that it is a first one, given again.
REPLAYED = "Idempotency-Replayed"
_LONGEST = 255


@dataclass(frozen=True)
class Answer:
    """A success: its status, its JSON, the address of what it made; ``is_replay``: nothing was done for it now."""

    status: int
    body: str
    location: str | None = None
    is_replay: bool = False


def once(do: Callable[[Session], Answer]) -> Answer:
    """Do the work of this request in one transaction, unless its key has an answer already.

    Raises Problem 400 for a key that can not be one, 422 for one that was used for another request.
    """
    key = _key()
    if key is None:
        with writing() as session:
            return do(session)
    fingerprint = _fingerprint()
    if first := _first_answer(key, fingerprint):
        return first
    try:
        with writing() as session:
            # First of all, so that a repeat that comes meanwhile waits here until this one has ended.
            session.execute(insert(IdempotencyKey).values(key=key, fingerprint=fingerprint, status_code=0, body="",
                                                          created_at=utcnow()))
            answer = do(session)
            session.execute(update(IdempotencyKey).where(IdempotencyKey.key == key).values(
                status_code=answer.status, body=answer.body, location=answer.location))
            return answer
    except IntegrityError:
        if first := _first_answer(key, fingerprint):
            return first
        raise


def _key() -> str | None:
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 0 < len(key) <= _LONGEST or not (key.isascii() and key.isprintable()):
        detail = f"the header {HEADER} must hold 1 to {_LONGEST} printable ASCII characters"
        raise Problem(400, detail, [FieldError("", detail)])
    return key


def _fingerprint() -> str:
    parts = (request.method, request.path, request.mimetype, body.raw())
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()


def _first_answer(key: str, fingerprint: str) -> Answer | None:
    with reading() as session:
        kept = session.scalar(select(IdempotencyKey).where(IdempotencyKey.key == key))
    if kept is None:
        return None
    if kept.fingerprint != fingerprint:
        detail = f"this {HEADER} was used for another request: take a new one"
        raise Problem(422, detail, [FieldError("", detail)])
    return Answer(kept.status_code, kept.body, kept.location, is_replay=True)
