"""The types of request fields, each with its checks."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, WithJsonSchema

from jobsched.domain import is_visible
from jobsched.web.http.body import MOST_INTEGER

#: The most bytes of a payload, dumped as compact JSON.
PAYLOAD_BYTES = 16_384

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_ISO_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:?\d{2})", re.ASCII)


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


def _not_blank(text: str) -> str:
    if not any(map(is_visible, text)):
        raise ValueError("must not be blank")
    return text


def _email(text: str) -> str:
    if text and "@" not in text:
        raise ValueError("must be an e-mail address, or empty")
    return text


def _iso_date(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        if not _ISO_DATE.fullmatch(text):
            raise ValueError(text)
        datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007 - only looked at
    except ValueError:
        raise ValueError("must be a date, such as 1990-12-31") from None
    return text


def _iso_moment(value: Any) -> Any:
    if value is not None and not (isinstance(value, str) and _ISO_MOMENT.fullmatch(value)):
        raise ValueError("must be a time with its zone, such as 2030-12-31T23:59:00Z")
    return value


def _in_reach(moment: datetime) -> datetime:
    if not 1970 < moment.year < 9999:
        raise ValueError("must lie between the years 1971 and 9998")
    return moment.astimezone(timezone.utc)


def _payload(payload: dict[str, Any]) -> dict[str, Any]:
    if not payload:
        return payload
    dumped = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    if len(dumped) > PAYLOAD_BYTES:
        raise ValueError(f"must have at most {PAYLOAD_BYTES} bytes; got {len(dumped)}")
    if b"\\u0000" in dumped and _holds_nul(payload):
        raise ValueError("must not contain NUL")
    return payload


def _holds_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_nul(key) or _holds_nul(item) for key, item in value.items())
    if isinstance(value, list):
        return any(_holds_nul(item) for item in value)
    return isinstance(value, str) and "\0" in value


Text = Annotated[str, AfterValidator(_no_nul)]
Name = Annotated[str, Field(max_length=200, min_length=1, json_schema_extra={"pattern": r"\S"}),
                 AfterValidator(_no_nul), AfterValidator(_not_blank)]
Id = Annotated[int, Field(gt=0, le=MOST_INTEGER)]
Email = Annotated[str, Field(max_length=254, json_schema_extra={"pattern": "^$|@"}), AfterValidator(_no_nul),
                  AfterValidator(_email)]
IsoDate = Annotated[str | None, AfterValidator(_iso_date),
                    WithJsonSchema({"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]})]
Moment = Annotated[
    Annotated[AwareDatetime, AfterValidator(_in_reach)] | None, Field(strict=False), BeforeValidator(_iso_moment),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}),
]
Payload = Annotated[dict[str, Any], AfterValidator(_payload)]
