"""The routes of a collection: list, create, show, replace, change, delete; for clients and browsers' forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from jobsched.base.jsontext import dumps
from jobsched.domain import FieldError, Invalid, TooManyPending
from jobsched.intake.history import part_is_gone
from jobsched.ledger.database import reading, writing
from jobsched.web import current
from jobsched.web.api.openapi import Operation
from jobsched.web.api.resource import Resource
from jobsched.web.http import body, idempotency, negotiate, paging, validation
from jobsched.web.http.idempotency import Answer
from jobsched.web.http.problems import Problem, problem_of

#: What a browser's form, which can only POST, may ask for in its field ``_method``.
_FORM_METHODS = ("PUT", "PATCH", "DELETE")


def blueprint(resource: Resource[Any, Any]) -> Blueprint:
    """The addresses of a collection."""
    views, noun, many, one = Views(resource), resource.model.noun, "", "/<id:id>"
    some: Any = list[resource.item]  # type: ignore[name-defined]
    routes = Blueprint(resource.path.replace("-", "_"), __name__, url_prefix=f"/{resource.path}")
    for rule, method, view, operation in (
        (many, "GET", views.list, Operation(
            f"List {noun}s, newest first", {200: some}, query=resource.query, pages=True)),
        (many, "POST", views.create, Operation(
            f"Create one {noun}, or all of a list or nothing",
            {201: resource.item | some, 303: None}, body=resource.draft, many=True, idempotent=True,
            bounded=resource.bounded)),
        (one, "GET", views.show, Operation(f"Show a {noun}", {200: resource.detail})),
        (one, "PUT", views.replace, Operation(
            f"Replace a {noun}: omitted fields get their defaults", {200: resource.detail},
            body=resource.draft, bounded=resource.bounded)),
        (one, "PATCH", views.patch, Operation(
            f"Change the given fields of a {noun}", {200: resource.detail}, body=resource.draft,
            partial=True, bounded=resource.bounded)),
        (one, "DELETE", views.delete, Operation(f"Delete a {noun}", {204: None}, conflicts=True)),
        (one, "POST", views.form, Operation(
            "For browsers' forms, which can only POST: the field _method is PUT, PATCH or DELETE",
            {200: resource.detail, 204: None, 303: None}, form=True, conflicts=True, bounded=resource.bounded)),
    ):
        routes.add_url_rule(rule, view.__name__, operation.on(view), methods=[method])
    return routes


class Views:
    """The view functions of one collection."""

    def __init__(self, resource: Resource[Any, Any]) -> None:
        self._resource = resource

    def list(self) -> Response:
        return self._list()

    def create(self) -> Response:
        sent = body.read()
        try:
            drafts = self._drafts(sent)
            answer = idempotency.once(lambda session: self._insert(session, drafts))
        except (Invalid, TooManyPending) as refused:
            if sent.is_form and negotiate.wants_html():
                return refused_form(refused, self._list, sent)
            raise
        return respond(answer, otherwise=self._address())

    def show(self, id: int) -> Response:
        return self._show(id)

    def replace(self, id: int) -> Response:
        return self._rewrite(id, is_patch=False)

    def patch(self, id: int) -> Response:
        return self._rewrite(id, is_patch=True)

    def delete(self, id: int) -> Response:
        deleted = self._resource.clear(id)
        with part_is_gone(deleted), writing() as session:
            self._resource.remove(session, id)
        return negotiate.see_other(self._address()) if negotiate.wants_html() else negotiate.no_content()

    def form(self, id: int) -> Response:
        method = body.form_method()
        if method not in _FORM_METHODS:
            allowed = "GET, HEAD, OPTIONS, PUT, PATCH, DELETE"
            raise Problem(405, "a POST to one item must be a form with a field _method: PUT, PATCH or DELETE",
                          headers={"Allow": allowed})
        return {"PUT": self.replace, "PATCH": self.patch, "DELETE": self.delete}[method](id)

    def _drafts(self, sent: body.Body) -> dict[str, Any]:
        """What was sent, by its JSON pointers. Raises Invalid with every fault that can be seen."""
        drafts, errors = validation.every(self._resource.draft, sent)
        if errors:
            with reading() as session:
                self._refuse(session, drafts, errors, of_list=isinstance(sent.value, list))
        return drafts

    def _refuse(self, session: Session, drafts: Mapping[str, Any], errors: Sequence[FieldError], *,
                of_list: bool) -> NoReturn:
        """Raise Invalid with ``errors``, and with what else is wrong with the drafts; those of a list in its order."""
        found = {error.pointer for error in errors}
        more = [error for error in self._resource.faults(session, drafts) if error.pointer not in found]
        raise Invalid(sorted([*errors, *more], key=_index) if of_list else [*errors, *more])

    def _insert(self, session: Session, drafts: Mapping[str, Any]) -> Answer:
        items = self._resource.show(session, self._resource.insert(session, drafts))
        location = str(items[0]["links"]["self"]) if len(items) == 1 else None
        return Answer(201, dumps(items[0] if "" in drafts else items), location)

    def _rewrite(self, id: int, *, is_patch: bool) -> Response:
        sent = body.read()
        try:
            with writing() as session:
                fields = self._resource.fields(session, id)
                drafts, errors = validation.one(self._resource.draft, sent, fields if is_patch else None)
                if errors:
                    self._refuse(session, drafts, errors, of_list=False)
                self._resource.change(session, id, drafts[""])
        except (Invalid, TooManyPending) as refused:
            if sent.is_form and negotiate.wants_html():
                return refused_form(refused, partial(self._show, id), sent)
            raise
        if negotiate.wants_html():
            return negotiate.see_other(negotiate.back(self._address(id)))
        return self._show(id)

    def _list(self, status: int = 200, **context: Any) -> Response:
        resource = self._resource
        query = validation.query(resource.query)
        with reading() as session:
            rows, next_url = paging.fetch(session, resource.rows(query), resource.model.id, query)
            items = resource.show(session, rows, current.board())
        if negotiate.wants_html():
            filters = query.model_dump(mode="json", exclude_none=True, exclude={"limit", "cursor"})
            response = negotiate.page(resource.list_page, status, items=items, next_url=next_url, filters=filters,
                                      **context)
        else:
            response = negotiate.json_answer(dumps(items))
        if next_url is not None:
            response.headers["Link"] = f'<{next_url}>; rel="next"'
        return response

    def _show(self, id: int, status: int = 200, **context: Any) -> Response:
        with reading() as session:
            item = self._resource.show_one(session, id, current.board())
        if negotiate.wants_html():
            return negotiate.page(self._resource.item_page, status, item=item, **context)
        return negotiate.json_answer(dumps(item))

    def _address(self, id: int | None = None) -> str:
        return f"{request.script_root}/{self._resource.path}" + (f"/{id}" if id else "")


def respond(answer: Answer, otherwise: str) -> Response:
    """The answer to a POST: a browser is sent on to what was made, or to ``otherwise``."""
    if negotiate.wants_html():
        response = negotiate.see_other(answer.location or otherwise)
    else:
        response = negotiate.json_answer(answer.body, answer.status, answer.location)
    if answer.is_replay:
        response.headers[idempotency.REPLAYED] = "true"
    return response


def refused_form(error: Invalid | TooManyPending, page: Callable[..., Response], sent: body.Body) -> Response:
    """The page of a form that was refused, with what was typed and what is wrong with it."""
    problem = problem_of(error)
    response = page(problem.status, errors=by_field(error.errors), values=sent.value)
    response.headers.update(problem.headers)
    return response


def by_field(errors: Sequence[FieldError]) -> dict[str, str]:
    """Faults by the field of a form that they are about; those of the whole under the empty name."""
    return {error.pointer.removeprefix("/").split("/")[0]: error.detail for error in reversed(errors)}


def _index(error: FieldError) -> int:
    """Where in the list that was sent a fault lies: its pointer begins with an index of ours."""
    return int(error.pointer.split("/")[1])
