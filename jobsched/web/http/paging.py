"""Pages of a list, newest first, by cursor, so that new rows do not shift the pages."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import urlencode

from flask import request
from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from jobsched.domain import FieldError, Invalid
from jobsched.web.http.body import MOST_INTEGER
from jobsched.web.schemas import ListQuery


def fetch(
    session: Session, rows: Select[Any], id_: InstrumentedAttribute[int], query: ListQuery
) -> tuple[list[Any], str | None]:
    """The page of ``rows`` that ``query`` asks for, and the address of the next one. Raises Invalid."""
    if query.cursor is not None:
        rows = rows.where(id_ < decode(query.cursor))
    found = list(session.scalars(rows.order_by(id_.desc()).limit(query.limit + 1)))
    if len(found) <= query.limit:
        return found, None
    return found[: query.limit], _address(encode(found[query.limit - 1].id))


def encode(id_: int) -> str:
    """The cursor of the page after the row ``id_``."""
    return base64.urlsafe_b64encode(f"<{id_}".encode()).decode().rstrip("=")


def decode(cursor: str) -> int:
    """The row that a cursor of :func:`encode` stands at. Raises Invalid."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        id_ = int(text[1:])
        if len(text) < 21 and encode(id_) == cursor and 0 < id_ <= MOST_INTEGER:
            return id_
    except (ValueError, binascii.Error):
        pass
    raise Invalid([FieldError("?cursor", "must be one from a Link header")])


def _address(cursor: str) -> str:
    asked = {name: value for name, value in request.args.items() if value != ""}
    return f"{request.script_root}{request.path}?{urlencode({**asked, 'cursor': cursor})}"
