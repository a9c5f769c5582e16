"""The state that the dashboard shows at one moment, from SQL, and from Redis if it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from redis import Redis
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jobsched.board import Board, Lane
from jobsched.config import Settings
from jobsched.domain import Band, Bands, Status
from jobsched.intake import controls
from jobsched.ledger import lookup
from jobsched.ledger.models import Job, Site, UserRecord
from jobsched.policy import Policy
from jobsched.web.api import figures
from jobsched.web.pages import redis_side
from jobsched.web.pages.latest import LatestJob, latest_jobs
from jobsched.web.pages.ranking import LaneRanking, relative
from jobsched.web.pages.redis_side import RedisSide
from jobsched.web.pages.throttled import Throttled


@dataclass(frozen=True)
class LaneRow:
    """A lane: what is ``on_board``, the slices ``queued`` for workers, what SQL knows. None: Redis does not say it."""

    band: Band
    on_board: Lane | None
    queued: int | None
    running: int
    oldest_wait_s: float | None
    paused: bool


@dataclass(frozen=True)
class Snapshot:
    """The dashboard's content.

    ``chosen`` is the policy that was chosen at run time, if one was. ``rankings`` are None when they are not known.
    ``running`` holds the running jobs by their slice.
    """

    at: datetime
    counts: Mapping[Status, int]
    lanes: tuple[LaneRow, ...]
    redis: RedisSide
    chosen: Policy | None
    rankings: tuple[LaneRanking, ...] | None
    site_names: Mapping[int, str]
    running: Mapping[str, Sequence[int]]
    latest: tuple[LatestJob, ...]
    has_sites: bool
    has_users: bool


def take(session: Session, board: Board, redis: Redis, settings: Settings, now: datetime,
         counts: Throttled[dict[Status, int]]) -> Snapshot:
    """The snapshot at ``now``. Without Redis it holds what SQL knows, and a note."""
    bands = settings.bands
    known = redis_side.read(board, redis, settings)
    return Snapshot(
        at=now,
        counts=counts.get(lambda: count_by_status(session)),
        lanes=_lanes(session, known, bands, now),
        redis=known,
        chosen=controls.chosen_policy(session),
        rankings=_rankings(known, bands, now),
        site_names=_site_names(session, known),
        running=_running(session, [worker.slice for worker in known.workers or () if worker.slice]),
        latest=latest_jobs(session, bands, now),
        has_sites=session.scalar(select(Site.id).limit(1)) is not None,
        has_users=session.scalar(select(UserRecord.id).limit(1)) is not None,
    )


def count_by_status(session: Session) -> dict[Status, int]:
    """How many jobs have each status; one walk over an index."""
    rows = session.execute(select(Job.status, func.count()).group_by(Job.status))
    return dict.fromkeys(Status, 0) | {status: int(n) for status, n in rows}


def _lanes(session: Session, known: RedisSide, bands: Sequence[Band], now: datetime) -> tuple[LaneRow, ...]:
    is_running = Job.status == Status.RUNNING
    counted = session.execute(select(Job.band, func.count()).where(is_running).group_by(Job.band))
    running = {band: int(n) for band, n in counted}
    paused = controls.paused_lanes(session)
    return tuple(
        LaneRow(band, known.lanes.get(band.name), known.queued.get(band.name), running.get(band.name, 0), wait_s,
                band.name in paused)
        for band, wait_s in figures.oldest_waits(session, bands, now).items()
    )


def _rankings(known: RedisSide, bands: Bands, now: datetime) -> tuple[LaneRanking, ...] | None:
    if known.note:
        return None
    found = []
    for band in bands:
        if ranking := known.rankings.get(band.name):
            ages = known.policy.weights(band).age * now.timestamp()
            found.append(LaneRanking(band, known.lanes[band.name].sites, tuple(ranking), relative(ranking, ages)))
    return tuple(found)


def _site_names(session: Session, known: RedisSide) -> dict[int, str]:
    return lookup.names(session, Site, {row.site for ranking in known.rankings.values() for row in ranking})


def _running(session: Session, slices: Iterable[str]) -> dict[str, list[int]]:
    """The jobs that run now, by the slice that carries them."""
    is_running = Job.status == Status.RUNNING
    rows = session.execute(select(Job.slice, Job.id).where(is_running, Job.slice.in_(list(slices))).order_by(Job.id))
    jobs: dict[str, list[int]] = {}
    for slice_id, job in rows:
        jobs.setdefault(slice_id or "", []).append(job)
    return jobs
