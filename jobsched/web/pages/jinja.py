"""The context of every page's template: filters, URLs, and the choices that forms offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flask import Flask, url_for
from markupsafe import Markup
from sqlalchemy import select

from jobsched import tasks
from jobsched.domain import TERMINAL, WAITING, Bands, Status
from jobsched.ledger.database import reading
from jobsched.ledger.models import Site, UserRecord, utcnow
from jobsched.policy import POLICIES, Policy
from jobsched.web import current
from jobsched.web.api import why
from jobsched.web.pages import presentation
from jobsched.web.pages.timeline import Timeline, timeline

#: Up to so many sites or user records are offered as a list; of more, the id is typed.
MOST_CHOICES = 200

_ENDPOINTS = {
    "home": "index", "sites": "sites.list", "site": "sites.show", "user_records": "user_records.list",
    "user_record": "user_records.show", "jobs": "jobs.list", "job": "jobs.show", "cancel": "moves.cancel",
    "retry": "moves.retry", "pause_lane": "controls.post_pause", "resume_lane": "controls.post_resume",
    "policy": "controls.post_choose",
}


def install(app: Flask) -> None:
    """Give the application's templates these filters and names."""
    env = app.jinja_env
    env.trim_blocks = env.lstrip_blocks = True
    for filter_ in (presentation.duration, presentation.exactly, presentation.count, presentation.part,
                    presentation.whole, presentation.pretty):
        env.filters[filter_.__name__] = filter_
    env.filters["when"] = _when
    env.filters["timeline"] = _timeline
    env.filters["why"] = why.explain
    env.globals |= {
        "to": to, "choices": Choices(), "WAITING": WAITING, "TERMINAL": TERMINAL,
    }


def to(kind: str, id: int | None = None, **query: Any) -> str:
    """The address of a page: ``to("jobs", status="failed")``, ``to("job", 7)``."""
    if id is not None:
        query["id"] = id
    return url_for(_ENDPOINTS[kind], **query)


class Choices:
    """What forms offer to choose from; each is read only by the page that asks."""

    @property
    def sites(self) -> Sequence[tuple[int, str]]:
        """Sites by id and name; empty when there are too many for a list."""
        return _few(Site)

    @property
    def users(self) -> Sequence[tuple[int, str]]:
        """User records by id and name; empty when there are too many for a list."""
        return _few(UserRecord)

    @property
    def has_sites(self) -> bool:
        return _is_any(Site)

    @property
    def has_users(self) -> bool:
        return _is_any(UserRecord)

    @property
    def tasks(self) -> Sequence[str]:
        return tasks.names()

    @property
    def policies(self) -> Sequence[Policy]:
        return list(POLICIES.values())

    @property
    def default_policy(self) -> str:
        """The one that the settings name."""
        return current.settings().policy

    @property
    def bands(self) -> Bands:
        return current.settings().bands

    @property
    def statuses(self) -> Sequence[Status]:
        return list(Status)


def _when(moment: datetime | str | None) -> Markup:
    return presentation.when(moment, utcnow())


def _timeline(item: Mapping[str, Any]) -> Timeline:
    return timeline(item, utcnow())


def _few(model: type[Site] | type[UserRecord]) -> list[tuple[int, str]]:
    rows = select(model.id, model.name).order_by(model.id).limit(MOST_CHOICES + 1)
    with reading() as session:
        found = [(id_, name) for id_, name in session.execute(rows)]
    return found if len(found) <= MOST_CHOICES else []


def _is_any(model: type[Site] | type[UserRecord]) -> bool:
    with reading() as session:
        return session.scalar(select(model.id).limit(1)) is not None
