"""The jobs resource: create, list, show, change, delete, cancel and retry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from jobsched.base.jsontext import dumps
from jobsched.board import Board
from jobsched.domain import TERMINAL, WAITING, FieldError, Invalid, Status
from jobsched.intake import submit
from jobsched.intake.drafts import JobDraft, find_faults
from jobsched.ledger import lookup
from jobsched.ledger.models import Job, Site, UserRecord
from jobsched.web import current
from jobsched.web.api.crud import respond
from jobsched.web.api.openapi import Operation
from jobsched.web.api.resource import Resource
from jobsched.web.http import idempotency
from jobsched.web.http.idempotency import Answer
from jobsched.web.schemas import JobIn, JobOut, JobQuery, stamp, stamp_or_none


class Jobs(Resource[JobIn, JobQuery]):
    """``/jobs``."""

    path = "jobs"
    list_page, item_page = "jobs.html", "job.html"
    bounded = True
    model, item, detail = Job, JobOut, JobOut
    draft, query = JobIn, JobQuery

    def rows(self, query: JobQuery) -> Select[Any]:
        rows = select(Job)
        for column, value in ((Job.site_id, query.site), (Job.user_id, query.user)):
            rows = rows if value is None else rows.where(column == value)
        if query.status is not None:
            rows = rows.where(Job.status == query.status)
        return rows if query.band is None else rows.where(Job.band == _band_name(query.band))

    def faults(self, session: Session, drafts: Mapping[str, JobIn]) -> list[FieldError]:
        return find_faults(session, current.board(), _wishes(drafts), current.settings())

    def insert(self, session: Session, drafts: Mapping[str, JobIn]) -> Sequence[Job]:
        return submit.insert_jobs(session, current.board(), _wishes(drafts), current.settings())

    def show(self, session: Session, rows: Sequence[Job], board: Board | None = None) -> list[JobOut]:
        return show_jobs(session, rows)

    def show_one(self, session: Session, id_: int, board: Board | None = None) -> JobOut:
        return show_jobs(session, [lookup.find(session, Job, id_)])[0]

    def fields(self, session: Session, id_: int) -> dict[str, Any]:
        job = lookup.find(session, Job, id_, lock=True)
        return {
            "user": job.user_id, "site": job.site_id, "task": job.task, "payload": job.payload,
            "execution_time": None if job.estimated else job.execution_time, "run_at": stamp_or_none(job.run_at),
        }

    def change(self, session: Session, id_: int, draft: JobIn) -> None:
        job = lookup.find(session, Job, id_)
        wish = _wish(draft)
        if wish.execution_time is None and job.estimated and (wish.site, wish.task) == (job.site_id, job.task):
            wish = replace(wish, execution_time=job.execution_time, estimated=True)  # its history may be gone
        submit.change(session, current.board(), id_, wish, current.settings())

    def remove(self, session: Session, id_: int) -> None:
        submit.remove(session, current.board(), id_)


def cancel(id: int) -> Response:
    """Cancel a waiting job."""
    return _move(id, lambda session: submit.cancel(session, current.board(), id))


def retry(id: int) -> Response:
    """Make a failed or cancelled job pending."""
    return _move(id, lambda session: submit.retry(session, current.board(), id, current.settings()))


def show_jobs(session: Session, jobs: Sequence[Job]) -> list[JobOut]:
    """Jobs as JSON, with the names of their users and sites."""
    users = lookup.names(session, UserRecord, {job.user_id for job in jobs})
    sites = lookup.names(session, Site, {job.site_id for job in jobs})
    label, root = current.settings().bands.label, request.script_root
    return [
        _show(job, users[job.user_id], sites[job.site_id], label(job.band), root) for job in jobs
    ]


def _move(id_: int, move: Callable[[Session], Job]) -> Response:
    answer = idempotency.once(lambda session: Answer(200, dumps(show_jobs(session, [move(session)])[0])))
    return respond(answer, otherwise=f"{request.script_root}/jobs/{id_}")


def _wishes(drafts: Mapping[str, JobIn]) -> dict[str, JobDraft]:
    return {pointer: _wish(draft) for pointer, draft in drafts.items()}


def _wish(draft: JobIn) -> JobDraft:
    return JobDraft(draft.user, draft.site, draft.execution_time, draft.task, draft.payload, draft.run_at)


def _band_name(asked: str) -> str:
    try:
        return current.band(asked).name
    except LookupError as known:
        raise Invalid([FieldError("?band", f"must be one of {known}")]) from known


def _show(job: Job, user_name: str, site_name: str, label: str, root: str) -> JobOut:
    return {
        "id": job.id,
        "user": job.user_id,
        "user_name": user_name,
        "site": job.site_id,
        "site_name": site_name,
        "task": job.task,
        "payload": job.payload,
        "execution_time": job.execution_time,
        "estimated": job.estimated,
        "task_type": job.band,
        "band": label,
        "status": job.status,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "overruns": job.overruns,
        "run_at": stamp_or_none(job.run_at),
        "submitted_at": stamp(job.submitted_at),
        "enqueued_at": stamp(job.enqueued_at),
        "dispatched_at": stamp_or_none(job.dispatched_at),
        "started_at": stamp_or_none(job.started_at),
        "finished_at": stamp_or_none(job.finished_at),
        "run_time": job.run_time,
        "slice": job.slice,
        "points": job.points,
        "result": job.result,
        "error": job.error,
        "links": _links(job, root),
    }


def _links(job: Job, root: str) -> dict[str, str]:
    here = f"{root}/jobs/{job.id}"
    links = {"self": here, "user": f"{root}/user-records/{job.user_id}", "site": f"{root}/sites/{job.site_id}"}
    if job.status in WAITING:
        links["cancel"] = f"{here}/cancel"
    if job.status in TERMINAL and job.status is not Status.COMPLETED:
        links["retry"] = f"{here}/retry"
    return links


routes = Blueprint("moves", __name__, url_prefix="/jobs/<id:id>")
for _name, _view, _summary in (
    ("cancel", cancel, "Cancel a job that waits"),
    ("retry", retry, "Run a failed or cancelled job again"),
):
    _operation = Operation(_summary, {200: JobOut, 303: None}, idempotent=True, conflicts=True,
                           bounded=_name == "retry")
    routes.add_url_rule(f"/{_name}", _name, _operation.on(_view), methods=["POST"])
