"""What the API takes and gives: the same schemas validate what comes in and make the OpenAPI document.

What comes in are pydantic models, what goes out are typed dicts.
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
    HealthOut,
    JobOut,
    LaneOut,
    PolicyOut,
    PolicyRow,
    ProblemOut,
    ReadyOut,
    SiteDetail,
    SiteOut,
    UserRecordDetail,
    UserRecordOut,
    stamp,
    stamp_or_none,
)

__all__ = [
    "AccuracyOut", "CheckOut", "EndpointOut", "EstimateOut", "HealthOut", "JobIn", "JobOut", "JobQuery", "LaneOut",
    "ListQuery", "PolicyIn", "PolicyOut", "PolicyRow", "ProblemOut", "ReadyOut", "SiteDetail", "SiteIn", "SiteOut",
    "SiteQuery", "UserRecordDetail", "UserRecordIn", "UserRecordOut", "UserRecordQuery", "stamp", "stamp_or_none",
]
