"""The schemas of the API: they validate requests, and the OpenAPI document is made from them.

Requests are pydantic models, answers are typed dicts.
"""

from jobsched.web.schemas.incoming import (
    JobIn,
    JobQuery,
    ListQuery,
    PolicyIn,
    SiteIn,
    SiteQuery,
    UserRecordIn,
    UserRecordQuery,
)
from jobsched.web.schemas.outgoing import (
    AccuracyOut,
    CheckOut,
    EndpointOut,
    EstimateOut,
    ExpectedOut,
    HealthOut,
    JobOut,
    LaneOut,
    PlaceOut,
    PolicyOut,
    PolicyRow,
    ProblemOut,
    ReadyOut,
    ReasonOut,
    ScoreOut,
    SiteDetail,
    SiteOut,
    UserRecordDetail,
    UserRecordOut,
    WhyOut,
    stamp,
    stamp_or_none,
)

__all__ = [
    "AccuracyOut", "CheckOut", "EndpointOut", "EstimateOut", "ExpectedOut", "HealthOut", "JobIn", "JobOut",
    "JobQuery", "LaneOut", "ListQuery", "PlaceOut", "PolicyIn", "PolicyOut", "PolicyRow", "ProblemOut", "ReadyOut",
    "ReasonOut", "ScoreOut", "SiteDetail", "SiteIn", "SiteOut", "SiteQuery", "UserRecordDetail", "UserRecordIn",
    "UserRecordOut", "UserRecordQuery", "WhyOut", "stamp", "stamp_or_none",
]
