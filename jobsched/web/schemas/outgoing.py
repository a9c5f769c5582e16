"""The schemas of answers."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from jobsched.domain import Status

Stamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Links = Annotated[dict[str, str], Field(description="URLs by name")]
ByBand = Annotated[dict[str, int], Field(description="by band name; bands with zero are omitted")]

Hold = Literal["paused", "max_running", "rate"]


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
    estimated: Annotated[bool, Field(description="whether jobsched made the estimate from completed jobs")]
    task_type: Annotated[str, Field(description="the band's name, such as task_05")]
    band: Annotated[str, Field(description="the band's label, such as 10s")]
    status: Status
    attempt: Annotated[int, Field(description="the number of starts so far")]
    max_attempts: int
    overruns: Annotated[int, Field(description="how often it outlasted its lane and moved to the next lane")]
    run_at: Stamp | None
    submitted_at: Stamp
    enqueued_at: Annotated[Stamp, Field(description="when it last became pending, or will become pending")]
    dispatched_at: Stamp | None
    started_at: Stamp | None
    finished_at: Stamp | None
    run_time: Annotated[float | None, Field(description="measured seconds")]
    slice: Annotated[str | None, Field(description="the slice of its last dispatch")]
    points: Annotated[int | None, Field(description="the site's points at its last dispatch")]
    result: Any
    error: str | None
    links: Links


class ReasonOut(TypedDict):
    """Something that holds a job."""

    code: Annotated[str, Field(description="one of the codes in docs/api.md")]
    text: str
    until: Annotated[Stamp | None, Field(description="when the reason ends, if that is known")]


class PlaceOut(TypedDict):
    """A place in an order."""

    place: Annotated[int, Field(description="1 is next")]
    of: int


class ScoreOut(TypedDict):
    """The parts of the site's score in its lane, without what is the same for all its sites."""

    policy: str
    points: int
    total: float
    boost: Annotated[float, Field(description="for the site's points")]
    share: Annotated[float, Field(description="for its past service; 0 for a site that begins to wait now")]
    age: Annotated[float, Field(description="for how long its first job has waited")]
    size: Annotated[float, Field(description="for the estimate of its first job")]


class ExpectedOut(TypedDict):
    """When a job is expected to start."""

    p50: Annotated[Stamp, Field(description="half of such jobs have started by then")]
    p90: Annotated[Stamp, Field(description="nine in ten of such jobs have started by then")]
    p50_s: Annotated[float, Field(description="p50 in seconds after at")]
    p90_s: float


class WhyOut(TypedDict):
    """Why a job waits."""

    job: int
    at: Stamp
    status: Status
    lane: Annotated[str, Field(description="the label of its lane, such as 10s")]
    line: Annotated[PlaceOut | None, Field(description="its place among its site's jobs, while it waits")]
    lane_order: Annotated[PlaceOut | None, Field(description="its site's place in the lane; null while held")]
    score: ScoreOut | None
    reasons: list[ReasonOut]
    expected: Annotated[ExpectedOut | None, Field(description="null if nothing would start it in the present state")]
    links: Links


class SiteOut(TypedDict):
    """A site and its present state."""

    id: int
    name: str
    domain: str
    url: str
    description: str
    record_capacity: int
    record_capicity: Annotated[int, Field(deprecated=True)]
    weight: Annotated[float, Field(description="its share of the workers' time")]
    max_running: Annotated[int | None, Field(description="most jobs in flight; null: no limit")]
    rate_per_s: Annotated[float | None, Field(description="jobs dispatched per second; null: no limit")]
    burst: Annotated[int, Field(description="jobs dispatched at once before the rate applies")]
    max_pending: Annotated[int | None, Field(description="most waiting jobs, including scheduled ones; null: no limit")]
    paused: Annotated[bool, Field(description="its jobs are held; jobs in flight continue")]
    hold: Annotated[Hold | None, Field(description="what holds its waiting jobs")]
    in_flight: Annotated[int | None, Field(
        description="dispatched jobs that have not ended; null while the board does not answer")]
    created_at: Stamp
    total_users: int
    total_jobs: int
    pending: Annotated[ByBand, Field(description="pending jobs by band name")]
    points: int
    place: Annotated[int | None, Field(description="1 has the most points; null if no job waits")]
    places: Annotated[ByBand, Field(description="the place in each lane's order, by band name; 1 is next")]
    links: Links


class AccuracyOut(TypedDict):
    """The accuracy of estimates, as measured / estimated: 1 is right, 2 took twice as long."""

    jobs: int
    median: float
    p90: float
    longer: Annotated[float, Field(description="the share of jobs, 0 to 1, that took longer than estimated")]


class EstimateOut(TypedDict):
    """How long a task takes at a site, by its latest completed jobs."""

    task: str
    jobs: Annotated[int, Field(description="the number of completed jobs in this figure")]
    estimate_s: Annotated[float, Field(description="the next estimate of a job without execution_time, in seconds")]
    said: Annotated[AccuracyOut | None, Field(description="the accuracy of estimates that came with the job")]
    from_history: Annotated[AccuracyOut | None, Field(description="the accuracy of estimates that jobsched made")]


class SiteDetail(SiteOut):
    """A site with the estimates of its tasks."""

    estimates: list[EstimateOut]


class LaneOut(TypedDict):
    """A lane. Fields that only the board knows are null while it does not answer."""

    name: Annotated[str, Field(description="the band's name, such as task_05")]
    label: Annotated[str, Field(description="the band's label, such as 10s")]
    queue: Annotated[str, Field(description="the name of its RQ queue")]
    waiting: Annotated[int, Field(description="jobs on the board; pending jobs in SQL while it does not answer")]
    flying: Annotated[int | None, Field(description="dispatched jobs that have not ended")]
    sites: Annotated[int | None, Field(description="sites that may be served now")]
    backlog_s: Annotated[float | None, Field(description="the waiting work, in estimated worker-seconds")]
    paused: bool
    links: Links


class PolicyRow(TypedDict):
    """A policy: its name, and its numbers in the score formula."""

    name: str
    purpose: str
    boost: float
    head_start: Annotated[float, Field(description="in multiples of the lane's bound")]
    share: float
    age: float
    size: float
    points_cap: float


class PolicyOut(TypedDict):
    """The policy that ranks the sites, and all policies."""

    policy: str
    chosen_at_run_time: Annotated[bool, Field(description="false: the policy comes from the settings")]
    policies: list[PolicyRow]


class UserRecordOut(TypedDict):
    """A user record and the user's present activity."""

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
    """One fault in a request."""

    pointer: Annotated[str, Field(description="a JSON pointer into the body; ?name is a query parameter")]
    detail: str


class _ProblemOut(TypedDict):
    type: str
    title: str
    status: int
    detail: str


class ProblemOut(_ProblemOut, total=False):
    """An error (RFC 9457)."""

    errors: list[FieldErrorOut]


class EndpointOut(TypedDict):
    """One path of the API."""

    path: str
    methods: dict[str, str]


class CheckOut(TypedDict):
    """Whether one part works."""

    ok: bool
    detail: str


class HealthOut(TypedDict):
    """The process is up."""

    status: str


class ReadyOut(TypedDict):
    """Whether jobs that are submitted now will run."""

    ready: bool
    checks: dict[str, CheckOut]
    warnings: Annotated[list[str], Field(description="faults that should be corrected, although jobs run")]


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC, with microseconds."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def stamp_or_none(moment: datetime | None) -> str | None:
    """As :func:`stamp`; None stays None."""
    return None if moment is None else stamp(moment)
