"""The user records resource: the users who submit jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from flask import request
from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from jobsched.base.failpoints import failpoint
from jobsched.board import Board
from jobsched.board.without_redis import if_redis_answers
from jobsched.domain import FieldError, Invalid, tier_of
from jobsched.intake.history import ENDED, delete_ended, refuse_unfinished
from jobsched.ledger import lookup
from jobsched.ledger.database import after_commit
from jobsched.ledger.models import Job, Site, UserRecord
from jobsched.web import current
from jobsched.web.api import figures
from jobsched.web.api.jobs import show_jobs
from jobsched.web.api.resource import Resource
from jobsched.web.schemas import UserRecordDetail, UserRecordIn, UserRecordOut, UserRecordQuery, stamp

#: How many of a user's jobs are shown with the user record.
LATEST_JOBS = 20


class UserRecords(Resource[UserRecordIn, UserRecordQuery]):
    """``/user-records``."""

    path = "user-records"
    list_page, item_page = "user_records.html", "user_record.html"
    model, item, detail = UserRecord, UserRecordOut, UserRecordDetail
    draft, query = UserRecordIn, UserRecordQuery

    def rows(self, query: UserRecordQuery) -> Select[Any]:
        rows = select(UserRecord)
        return rows if query.site is None else rows.where(UserRecord.site_id == query.site)

    def faults(self, session: Session, drafts: Mapping[str, UserRecordIn]) -> list[FieldError]:
        sites = lookup.names(session, Site, {draft.site for draft in drafts.values()})
        return [
            FieldError(f"{pointer}/site", f"no site {draft.site}")
            for pointer, draft in drafts.items() if draft.site not in sites
        ]

    def insert(self, session: Session, drafts: Mapping[str, UserRecordIn]) -> Sequence[UserRecord]:
        if errors := self.faults(session, drafts):
            raise Invalid(errors)
        users = [UserRecord(**_columns(draft)) for draft in drafts.values()]
        session.add_all(users)
        session.flush()
        after_commit(session, partial(_tell, users))
        return users

    def show(self, session: Session, rows: Sequence[UserRecord], board: Board | None = None) -> list[UserRecordOut]:
        sites = lookup.names(session, Site, {user.site_id for user in rows})
        pending = figures.pending_of_users(session, [user.id for user in rows])
        return [_show(user, sites[user.site_id], pending.get(user.id, 0)) for user in rows]

    def show_one(self, session: Session, id_: int, board: Board | None = None) -> UserRecordDetail:
        user = lookup.find(session, UserRecord, id_)
        latest = session.scalars(select(Job).where(Job.user_id == id_).order_by(Job.id.desc()).limit(LATEST_JOBS))
        return {**self.show(session, [user])[0], "jobs": show_jobs(session, list(latest))}

    def fields(self, session: Session, id_: int) -> dict[str, Any]:
        user = lookup.find(session, UserRecord, id_, lock=True)
        return {name: user.site_id if name == "site" else getattr(user, name) for name in UserRecordIn.model_fields}

    def change(self, session: Session, id_: int, draft: UserRecordIn) -> None:
        user = lookup.find(session, UserRecord, id_)
        if errors := self.faults(session, {"": draft}):
            raise Invalid(errors)
        for name, value in _columns(draft).items():
            setattr(user, name, value)
        session.flush()
        after_commit(session, partial(_tell, [user]))

    def clear(self, id_: int) -> int:
        return delete_ended([Job.user_id == id_], lambda session: _check(session, id_))

    def remove(self, session: Session, id_: int) -> None:
        user = _check(session, id_)
        session.execute(delete(Job).where(Job.user_id == id_, ENDED))  # one that waits again keeps the user record
        session.delete(user)


def _tell(users: Sequence[UserRecord]) -> None:
    with if_redis_answers("tell the board of users"):
        failpoint("web.users_committed", effect="sql")
        current.board().update_users((user.id, user.is_active) for user in users)
        failpoint("web.users_told")


def _columns(draft: UserRecordIn) -> dict[str, Any]:
    return {"site_id" if name == "site" else name: value for name, value in draft.model_dump().items()}


def _check(session: Session, id_: int) -> UserRecord:
    """The user record, locked, which may be deleted. Raises NotFound or Conflict."""
    user = lookup.find(session, UserRecord, id_, lock=True)
    refuse_unfinished(session, [Job.user_id == id_], f"user record {id_} has")
    return user


def _show(user: UserRecord, site_name: str, pending: int) -> UserRecordOut:
    root = request.script_root
    return {
        "id": user.id,
        "site": user.site_id,
        "site_name": site_name,
        "name": user.name,
        "email": user.email,
        "phone": user.phone,
        "address": user.address,
        "country": user.country,
        "state": user.state,
        "city": user.city,
        "pincode": user.pincode,
        "dob": user.dob,
        "is_active": user.is_active,
        "created_at": stamp(user.created_at),
        "customer_type": tier_of(pending, current.settings().tiers).name,
        "pending_jobs": pending,
        "links": {
            "self": f"{root}/user-records/{user.id}",
            "site": f"{root}/sites/{user.site_id}",
            "jobs": f"{root}/jobs?user={user.id}",
        },
    }
