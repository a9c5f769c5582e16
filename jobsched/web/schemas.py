"""What the API takes and gives. The same schemas validate what comes in and make the OpenAPI document.

What comes in are pydantic models: strict for JSON, where ``true`` is no number and ``"5"`` neither; forms hold strings
only, and are read leniently. What goes out are typed dicts.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AliasChoices,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from typing_extensions import TypedDict

from jobsched.domain import Status
from jobsched.web.body import MOST_INTEGER

#: The most bytes of a payload, dumped as compact JSON.
PAYLOAD_BYTES = 16_384

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_ISO_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:?\d{2})")


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
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
        raise ValueError("must be a date as 1990-12-31") from None
    return text


def _iso_moment(value: Any) -> Any:
    if value is not None and not (isinstance(value, str) and _ISO_MOMENT.fullmatch(value)):
        raise ValueError("must be a moment as 2030-12-31T23:59:00Z, with its zone")
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


class In(BaseModel):
    """Something that a client wishes."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class SiteIn(In):
    """A site as a client wishes it. ``record_capicity`` is taken as another spelling of ``record_capacity``."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema["properties"].update(
        record_capicity={**schema["properties"]["record_capacity"], "deprecated": True}))

    name: Name
    domain: Annotated[Text, Field(max_length=253)] = ""
    url: Annotated[Text, Field(max_length=2000)] = ""
    description: Annotated[Text, Field(max_length=10_000)] = ""
    record_capacity: Annotated[int, Field(
        ge=1, le=3, description="1 low (500-10k records), 2 medium (10k-50k), 3 high (50k-200k)",
        validation_alias=AliasChoices("record_capacity", "record_capicity"),
    )] = 1

    @model_validator(mode="before")
    @classmethod
    def _take_both_spellings(cls, value: Any) -> Any:
        """Take both at once when they say the same."""
        if isinstance(value, dict) and "record_capacity" in value and (
            value.get("record_capicity") == value["record_capacity"]
        ):
            return {key: item for key, item in value.items() if key != "record_capicity"}
        return value


class UserRecordIn(In):
    """A user record as a client wishes it. An inactive user does not count in points."""

    site: Id
    name: Name
    email: Email = ""
    phone: Annotated[Text, Field(max_length=40)] = ""
    address: Annotated[Text, Field(max_length=500)] = ""
    country: Annotated[Text, Field(max_length=100)] = ""
    state: Annotated[Text, Field(max_length=100)] = ""
    city: Annotated[Text, Field(max_length=100)] = ""
    pincode: Annotated[Text, Field(max_length=20)] = ""
    dob: IsoDate = None
    is_active: bool = True


class JobIn(In):
    """A job as a client wishes it."""

    user: Id
    site: Id
    execution_time: Annotated[float, Field(gt=0, description="estimated seconds; at most the last band's bound")]
    task: Annotated[Text, Field(max_length=100)] = "sleep"
    payload: Annotated[Payload, Field(description=f"at most {PAYLOAD_BYTES} bytes")] = Field(default_factory=dict)
    run_at: Annotated[Moment, Field(description="the job is scheduled until then")] = None


class ListQuery(BaseModel):
    """How a list is asked for."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=500, description="the most items of a page")] = 50
    cursor: Annotated[str | None, Field(description="from the Link header of the page before")] = None


class SiteQuery(ListQuery):
    """How sites are asked for."""


class UserRecordQuery(ListQuery):
    """How user records are asked for."""

    site: Annotated[Id | None, Field(description="only the users of this site")] = None


class JobQuery(ListQuery):
    """How jobs are asked for."""

    site: Annotated[Id | None, Field(description="only jobs of this site")] = None
    user: Annotated[Id | None, Field(description="only jobs of this user record")] = None
    status: Annotated[Status | None, Field(description="only jobs of this status")] = None
    band: Annotated[str | None, Field(description="only jobs of this band: its name (task_01) or label (1ms)")] = None


Stamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Links = Annotated[dict[str, str], Field(description="addresses, by what is there")]
ByBand = Annotated[dict[str, int], Field(description="by band name; bands without any are left out")]


class JobOut(TypedDict):
    """A job."""

    id: int
    user: int
    user_name: str
    site: int
    site_name: str
    task: str
    payload: dict[str, Any]
    execution_time: Annotated[float, Field(description="estimated seconds")]
    task_type: Annotated[str, Field(description="the band's name, as task_05")]
    band: Annotated[str, Field(description="the band's label, as 10s")]
    status: Status
    attempt: Annotated[int, Field(description="how often it was started")]
    max_attempts: int
    run_at: Stamp | None
    submitted_at: Stamp
    enqueued_at: Annotated[Stamp, Field(description="when it last became pending, or will")]
    dispatched_at: Stamp | None
    started_at: Stamp | None
    finished_at: Stamp | None
    run_time: Annotated[float | None, Field(description="measured seconds")]
    slice: Annotated[str | None, Field(description="the slice of its last dispatch")]
    points: Annotated[int | None, Field(description="the site's points at its last dispatch")]
    result: Any
    error: str | None
    links: Links


class SiteOut(TypedDict):
    """A site, and where it stands now."""

    id: int
    name: str
    domain: str
    url: str
    description: str
    record_capacity: int
    record_capicity: Annotated[int, Field(deprecated=True)]
    created_at: Stamp
    total_users: int
    total_jobs: int
    pending: Annotated[ByBand, Field(description="pending jobs by band name")]
    points: int
    place: Annotated[int | None, Field(description="1 has the most points; null when nothing waits")]
    places: Annotated[ByBand, Field(description="the place in each lane's order, by band name; 1 is next")]
    links: Links


class UserRecordOut(TypedDict):
    """A user record, and how active the user is now."""

    id: int
    site: int
    site_name: str
    name: str
    email: str
    phone: str
    address: str
    country: str
    state: str
    city: str
    pincode: str
    dob: Annotated[str | None, Field(json_schema_extra={"format": "date"})]
    is_active: bool
    created_at: Stamp
    customer_type: Annotated[str, Field(description="the tier: Active, VeryActive or HyperActive")]
    pending_jobs: int
    links: Links


class UserRecordDetail(UserRecordOut):
    """A user record with the user's latest jobs."""

    jobs: list[JobOut]


class FieldErrorOut(TypedDict):
    """One fault."""

    pointer: Annotated[str, Field(description="a JSON pointer into the body; ?name is a parameter of the query")]
    detail: str


class _ProblemOut(TypedDict):
    type: str
    title: str
    status: int
    detail: str


class ProblemOut(_ProblemOut, total=False):
    """An answer other than what was asked for (RFC 9457)."""

    errors: list[FieldErrorOut]


class EndpointOut(TypedDict):
    """One line of the index."""

    path: str
    methods: dict[str, str]


class CheckOut(TypedDict):
    """Whether one part is there."""

    ok: bool
    detail: str


class HealthOut(TypedDict):
    """The process is up."""

    status: str


class ReadyOut(TypedDict):
    """Whether jobs that are submitted now will run."""

    ready: bool
    checks: dict[str, CheckOut]


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC, with microseconds."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def stamp_or_none(moment: datetime | None) -> str | None:
    """As :func:`stamp`; None stays None."""
    return None if moment is None else stamp(moment)
