"""The sites resource: the customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, cast

from flask import request
from sqlalchemy import ColumnElement, Select, delete, select
from sqlalchemy.orm import Session

from jobsched.base.failpoints import failpoint
from jobsched.board import Board
from jobsched.board.without_redis import if_redis_answers
from jobsched.domain import FieldError
from jobsched.intake import estimates
from jobsched.intake.history import ENDED, delete_ended, refuse_unfinished
from jobsched.ledger import lookup
from jobsched.ledger.database import after_commit
from jobsched.ledger.models import Job, Site, UserRecord
from jobsched.web import current
from jobsched.web.api import figures
from jobsched.web.api.resource import Resource
from jobsched.web.schemas import EstimateOut, SiteDetail, SiteIn, SiteOut, SiteQuery, stamp


class Sites(Resource[SiteIn, SiteQuery]):
    """``/sites``."""

    path = "sites"
    list_page, item_page = "sites.html", "site.html"
    model, item, detail = Site, SiteOut, SiteDetail
    draft, query = SiteIn, SiteQuery

    def rows(self, query: SiteQuery) -> Select[Any]:
        return select(Site)

    def faults(self, session: Session, drafts: Mapping[str, SiteIn]) -> list[FieldError]:
        return []

    def insert(self, session: Session, drafts: Mapping[str, SiteIn]) -> Sequence[Site]:
        sites = [Site(**draft.model_dump()) for draft in drafts.values()]
        session.add_all(sites)
        session.flush()
        after_commit(session, partial(_tell, sites))
        return sites

    def show(self, session: Session, rows: Sequence[Site], board: Board | None = None) -> list[SiteOut]:
        counted = figures.of_sites(session, rows, current.settings(), board)
        return [_show(site, counted[site.id]) for site in rows]

    def show_one(self, session: Session, id_: int, board: Board | None = None) -> SiteDetail:
        found = [cast("EstimateOut", asdict(of_task)) for of_task in estimates.of_site(session, id_)]
        return {**self.show(session, [lookup.find(session, Site, id_)], board)[0], "estimates": found}

    def fields(self, session: Session, id_: int) -> dict[str, Any]:
        site = lookup.find(session, Site, id_, lock=True)
        return {name: getattr(site, name) for name in SiteIn.model_fields}

    def change(self, session: Session, id_: int, draft: SiteIn) -> None:
        site = lookup.find(session, Site, id_)
        for name, value in draft.model_dump().items():
            setattr(site, name, value)
        session.flush()
        after_commit(session, partial(_tell, [site]))

    def clear(self, id_: int) -> int:
        return delete_ended(_jobs(id_), lambda session: _check(session, id_))

    def remove(self, session: Session, id_: int) -> None:
        site = _check(session, id_)
        for jobs in _jobs(id_):  # what has ended since; a job that waits again keeps the site
            session.execute(delete(Job).where(jobs, ENDED))
        session.execute(delete(UserRecord).where(UserRecord.site_id == id_))
        session.delete(site)
        after_commit(session, partial(_forget, id_))


def _tell(sites: Sequence[Site]) -> None:
    with if_redis_answers("tell the board of sites"):
        failpoint("web.sites_committed", effect="sql")
        current.board().update_sites(site.facts for site in sites)
        failpoint("web.sites_told")


def _forget(site: int) -> None:
    with if_redis_answers("have the board forget a site"):
        failpoint("web.site_deleted", effect="sql")
        current.board().forget_site(site)
        failpoint("web.site_forgotten")


def _jobs(site: int) -> list[ColumnElement[bool]]:
    """The jobs that go with a site: its own, and those of its users at other sites."""
    users = select(UserRecord.id).where(UserRecord.site_id == site)
    return [Job.site_id == site, Job.user_id.in_(users)]


def _check(session: Session, id_: int) -> Site:
    """The site, locked, which may be deleted. Raises NotFound or Conflict."""
    site = lookup.find(session, Site, id_, lock=True)
    refuse_unfinished(session, _jobs(id_), f"site {id_} or its users have")
    return site


def _show(site: Site, now: figures.SiteFigures) -> SiteOut:
    root = request.script_root
    return {
        "id": site.id,
        "name": site.name,
        "domain": site.domain,
        "url": site.url,
        "description": site.description,
        "record_capacity": site.record_capacity,
        "record_capicity": site.record_capacity,
        "weight": site.weight,
        "max_running": site.max_running,
        "rate_per_s": site.rate_per_s,
        "burst": site.burst,
        "max_pending": site.max_pending,
        "paused": site.paused,
        "hold": now.hold,
        "in_flight": now.in_flight,
        "created_at": stamp(site.created_at),
        "total_users": now.total_users,
        "total_jobs": now.total_jobs,
        "pending": dict(now.pending),
        "points": now.points,
        "place": now.place,
        "places": dict(now.places),
        "links": {
            "self": f"{root}/sites/{site.id}",
            "user_records": f"{root}/user-records?site={site.id}",
            "jobs": f"{root}/jobs?site={site.id}",
        },
    }
