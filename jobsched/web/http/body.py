"""Reads request bodies: strict JSON, or a form with the same fields."""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, UnsupportedMediaType

from jobsched.domain import MOST_NESTING, FieldError, is_deeper_than
from jobsched.web.http.problems import Problem

#: The most bytes of a body.
MOST_BYTES = 8 * 1024 * 1024
#: Whole numbers are signed ones of 64 bits, as the databases keep them.
MOST_INTEGER = 2**63 - 1

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

#: How much of a body that nobody wanted is read and dropped.
_DRAIN_BYTES = 64 * 1024 * 1024
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class Body:
    """What was sent: a JSON value, or a form's fields by name (each a string, the last one of a repeated name)."""

    value: Any
    is_form: bool


class Malformed(ValueError):
    """Text that is not the JSON that is taken here."""


def install(app: Flask) -> None:
    """Bound the bodies that the application takes."""
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES + 1  # Werkzeug cuts a body of unknown length there: see `raw`
    app.config["MAX_FORM_MEMORY_SIZE"] = MOST_BYTES
    app.before_request(receive)
    app.after_request(drain)


def receive() -> None:
    """Read the whole body before anything is done for the request, also where no view asks for it.

    A body that is broken on its way must not be found only after something was changed. Raises Problem 400 or 413.
    """
    announced = request.content_length or 0
    if announced > MOST_BYTES:
        raise Problem(413, f"a body may have at most {MOST_BYTES} bytes; got {announced}")
    raw()


def drain(response: Response) -> Response:
    """Read what is left of the body: a client that still sends when the connection closes never sees the answer."""
    if request.environ.get("wsgi.input_terminated"):  # the server ends the stream where the body ends
        rest, stream = _DRAIN_BYTES, request.environ["wsgi.input"]
        with suppress(Exception):  # a broken body has no rest, and has been answered with 400 or an earlier refusal
            while rest > 0 and (chunk := stream.read(65536)):
                rest -= len(chunk)
    return response


def raw() -> bytes:
    """The request's body as it came. Raises Problem 413, or 400 for one that ends early or is framed wrongly."""
    try:
        data = request.get_data()
    except HTTPException:
        raise
    except Exception as error:  # each server has errors of its own for this, and all are about what the client sent
        raise Problem(400, f"the body can not be read: {error}") from None
    if len(data) > MOST_BYTES:
        raise Problem(413, f"a body may have at most {MOST_BYTES} bytes")
    if len(data) < (request.content_length or 0):  # half a form is a form, too
        raise Problem(400, f"the body ends after {len(data)} of its {request.content_length} bytes")
    return data


def read() -> Body:
    """The request's body. Raises Problem 400, 413 or 415."""
    sent = raw()
    if not sent:
        raise Problem(400, "the body is empty", [FieldError("", "is empty: send JSON, or a form")])
    if request.mimetype in FORMS:
        fields = _fields(sent)
        fields.pop("_method", None)
        return Body(fields, is_form=True)
    if request.mimetype != "application/json":
        got = request.mimetype or "none"
        raise UnsupportedMediaType(f"Content-Type must be application/json or one of {', '.join(FORMS)}; got {got}")
    try:
        return Body(parse(sent), is_form=False)
    except Malformed as error:
        raise Problem(400, "the body is not valid JSON", [FieldError("", str(error))]) from None


def form_method() -> str:
    """What a form's field ``_method`` asks for; empty when there is none. Raises Problem 400 or 413."""
    sent = raw()
    return _fields(sent).get("_method", "").upper() if sent and request.mimetype in FORMS else ""


def _fields(sent: bytes) -> dict[str, str]:
    """A form's fields, the last one of a repeated name; a file counts as an empty one.

    Raises Problem 400 for what is none: Flask would take it for an empty form.
    """
    try:
        text = sent.decode()
        if request.mimetype == FORMS[0]:
            return dict(parse_qsl(text, keep_blank_values=True, errors="strict"))
        parser = request.make_form_data_parser()
        parser.silent, parser.stream_factory = False, _in_memory
        _, fields, files = parser.parse(BytesIO(sent), request.mimetype, len(sent), request.mimetype_params)
    except UnicodeDecodeError:
        raise _no_form("must be UTF-8") from None
    except ValueError as error:
        raise _no_form(f"can not be read as {request.mimetype}: {error}") from None
    if None in fields or None in files:
        raise _no_form("must name each of its fields")
    return {name: values[-1] for name, values in fields.lists()} | dict.fromkeys(files, "")


def _in_memory(*_: Any, **__: Any) -> BytesIO:
    """Where a file goes: the whole body is there already."""
    return BytesIO()


def _no_form(why: str) -> Problem:
    return Problem(400, "the body is not a valid form", [FieldError("", why)])


def parse(sent: bytes | str) -> Any:
    """Parse JSON, strictly.

    Raises Malformed for what is not JSON, and for what JSON readers disagree about: NaN, infinities, duplicate keys,
    whole numbers beyond 64 bits, text that is not Unicode; also for nesting deeper than MOST_NESTING.
    """
    try:
        text = sent.decode() if isinstance(sent, bytes) else sent
        value = json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_float=_number,
                           parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise Malformed(f"must be UTF-8; byte {error.start} is not") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise Malformed(f"must not nest deeper than {MOST_NESTING}") from None
    if is_deeper_than(MOST_NESTING, value):
        raise Malformed(f"must not nest deeper than {MOST_NESTING}")
    if _SURROGATE.search(text):
        _refuse_surrogates(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) == len(pairs):
        return keys
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise Malformed(f"must not hold the key {json.dumps(key)[:100]} twice in one object")
        seen.add(key)
    raise AssertionError("fewer keys than pairs, and none twice")


def _integer(digits: str) -> int:
    # Python refuses to read very long numbers, and takes long for long ones.
    if len(digits) > 20 or not -MOST_INTEGER <= (value := int(digits)) <= MOST_INTEGER:
        raise Malformed(f"must hold whole numbers of 64 bits only; got {digits[:30]}")
    return value


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise Malformed(f"must hold finite numbers only; got {digits[:30]}")
    return value


def _constant(name: str) -> NoReturn:
    raise Malformed(f"must hold finite numbers only; got {name}")


def _refuse_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Malformed("must hold Unicode text only; got half of a surrogate pair") from None
