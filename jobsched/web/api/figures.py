"""Counts waiting jobs and their age, for all sites, users or lanes of a page at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from jobsched import policy
from jobsched.board import Board, SiteStanding
from jobsched.board.without_redis import if_redis_answers
from jobsched.config import Settings
from jobsched.domain import Band, Status
from jobsched.ledger import lookup
from jobsched.ledger.models import Job, Site, UserRecord
from jobsched.web.schemas.outgoing import Hold

_PENDING = Job.status == Status.PENDING


@dataclass(frozen=True)
class SiteFigures:
    """What is counted of a site. ``pending`` and ``places`` are by band name; ``place`` 1 has the most points.

    ``hold`` is what keeps it from being served, as far as it is known; ``in_flight`` None: not known.
    """

    total_users: int
    total_jobs: int
    pending: Mapping[str, int]
    points: int
    place: int | None
    places: Mapping[str, int]
    hold: Hold | None
    in_flight: int | None


def of_sites(
    session: Session, sites: Sequence[Site], settings: Settings, board: Board | None
) -> dict[int, SiteFigures]:
    """The figures of sites: where they stand from the board while it answers, else from SQL, without places."""
    ids = [site.id for site in sites]
    users, jobs = count_by(session, UserRecord.site_id, ids), count_by(session, Job.site_id, ids)
    known = _standings(board, ids) if board is not None else {}
    counted = _standings_from_sql(session, [site for site in sites if site.id not in known], settings)
    found = {}
    for site in sites:
        now = known.get(site.id) or counted[site.id]
        # The board holds back only what waits; a site is paused also while nothing does.
        hold = cast("Hold | None", "paused" if site.paused else now.hold)
        found[site.id] = SiteFigures(
            users.get(site.id, 0), jobs.get(site.id, 0), now.pending, now.points, now.place, now.places, hold,
            now.running if site.id in known else None,
        )
    return found


def pending_of_users(session: Session, users: Collection[int]) -> dict[int, int]:
    """How many pending jobs users have; those without any are left out."""
    return count_by(session, Job.user_id, users, _PENDING)


def count_by(
    session: Session, column: InstrumentedAttribute[int], ids: Collection[int], *where: ColumnElement[bool]
) -> dict[int, int]:
    """How many rows have each of ``ids`` in ``column``; those without any are left out."""
    query = select(column, func.count()).where(*where).group_by(column)
    return {id_: int(n) for id_, n in lookup.among(session, query, column, ids)}


def _standings(board: Board, ids: Sequence[int]) -> dict[int, SiteStanding]:
    standings: dict[int, SiteStanding] = {}
    with if_redis_answers("read where sites stand"):
        for id_ in ids:
            standings[id_] = board.view.standing(id_)
    return standings


def _standings_from_sql(session: Session, sites: Sequence[Site], settings: Settings) -> dict[int, SiteStanding]:
    ids = [site.id for site in sites]
    by_band: dict[int, dict[str, int]] = {id_: {} for id_ in ids}
    waiting_users: dict[int, list[int]] = {id_: [] for id_ in ids}
    in_bands = select(Job.site_id, Job.band, func.count()).where(_PENDING).group_by(Job.site_id, Job.band)
    for id_, band, n in lookup.among(session, in_bands, Job.site_id, ids):
        by_band[id_][band] = n
    active = select(Job.site_id, Job.user_id).join(UserRecord, UserRecord.id == Job.user_id).where(
        _PENDING, UserRecord.is_active).distinct()
    for id_, user in lookup.among(session, active, Job.site_id, ids):
        waiting_users[id_].append(user)
    pending = pending_of_users(session, {user for users in waiting_users.values() for user in users})
    standings = {}
    for site in sites:
        users = {user: pending.get(user, 0) for user in waiting_users[site.id]}
        points = policy.points(users, by_band[site.id], site.record_capacity, settings.tiers, settings.bands)
        standings[site.id] = SiteStanding(site.id, points, 0, site.record_capacity, 0, None, by_band[site.id], {})
    return standings


def oldest_waits(session: Session, bands: Sequence[Band], now: datetime) -> Mapping[Band, float | None]:
    """How long the pending job that waits longest has waited in each lane, in seconds; None without any.

    One seek at the index for each lane, where a GROUP BY would walk over everything that waits.
    """
    oldest = session.execute(select(*(
        select(func.min(Job.enqueued_at)).where(_PENDING, Job.band == band.name).scalar_subquery() for band in bands
    ))).one()
    return {band: None if since is None else max(0.0, (now - since).total_seconds())
            for band, since in zip(bands, oldest, strict=True)}
