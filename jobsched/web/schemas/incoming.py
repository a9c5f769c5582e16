"""The schemas of requests: strict for JSON, where ``true`` is not a number, and neither is ``"5"``.

Forms hold only strings, and are parsed leniently.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator

from jobsched.domain import LEAST_EXECUTION_TIME_S, Status
from jobsched.policy import POLICIES
from jobsched.web.schemas.fields import PAYLOAD_BYTES, Email, Id, IsoDate, Moment, Name, Payload, Text


class In(BaseModel):
    """Something that a client wishes."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class SiteIn(In):
    """A site as a client sends it. ``record_capicity`` is taken as another spelling of ``record_capacity``."""

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
    weight: Annotated[float, Field(ge=0.01, le=100, description="its share of the workers' time")] = 1.0
    max_running: Annotated[int | None, Field(ge=1, le=10_000, description="most jobs in flight; null: no limit")] = None
    rate_per_s: Annotated[float | None, Field(
        ge=0.001, le=10_000, description="jobs dispatched per second; null: no limit")] = None
    burst: Annotated[int, Field(ge=1, le=10_000, description="jobs dispatched at once before the rate applies")] = 1
    max_pending: Annotated[int | None, Field(
        ge=1, le=1_000_000, description="most waiting jobs, including scheduled ones; null: no limit")] = None
    paused: Annotated[bool, Field(description="its jobs are held; jobs in flight continue")] = False

    @model_validator(mode="before")
    @classmethod
    def _take_both_spellings(cls, value: Any) -> Any:
        """Accept both spellings together if their values are equal."""
        if isinstance(value, dict) and "record_capacity" in value and (
            value.get("record_capicity") == value["record_capacity"]
        ):
            return {key: item for key, item in value.items() if key != "record_capicity"}
        return value


class UserRecordIn(In):
    """A user record as a client sends it. An inactive user does not count towards points."""

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
    """A job as a client sends it."""

    user: Id
    site: Id
    execution_time: Annotated[float | None, Field(ge=LEAST_EXECUTION_TIME_S, description=(
        "estimated seconds; at most the last band's bound; null: from recent jobs of the task"))] = None
    task: Annotated[Text, Field(max_length=100)] = "sleep"
    payload: Annotated[Payload, Field(description=f"at most {PAYLOAD_BYTES} bytes")] = Field(default_factory=dict)
    run_at: Annotated[Moment, Field(description="the job is scheduled until then")] = None


class PolicyIn(In):
    """The policy that an operator chooses."""

    policy: Annotated[str | None, Field(
        json_schema_extra={"enum": [*POLICIES, None]}, description="null: the policy of the settings")]

    @field_validator("policy")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        if name is not None and name not in POLICIES:
            raise ValueError(f"must be one of {', '.join(POLICIES)}, or null")
        return name


class ListQuery(BaseModel):
    """The parameters of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=500, description="the most items on a page")] = 50
    cursor: Annotated[str | None, Field(description="from the Link header of the previous page")] = None


class SiteQuery(ListQuery):
    """The parameters of a list of sites."""


class UserRecordQuery(ListQuery):
    """The parameters of a list of user records."""

    site: Annotated[Id | None, Field(description="only the users of this site")] = None


class JobQuery(ListQuery):
    """The parameters of a list of jobs."""

    site: Annotated[Id | None, Field(description="only jobs of this site")] = None
    user: Annotated[Id | None, Field(description="only jobs of this user record")] = None
    status: Annotated[Status | None, Field(description="only jobs of this status")] = None
    band: Annotated[str | None, Field(description="only jobs of this band: its name (task_01) or label (1ms)")] = None
