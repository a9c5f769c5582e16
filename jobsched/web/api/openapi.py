"""Generates the OpenAPI 3.1 document from the registered routes and the schemas that validate."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Any, cast

from flask import Flask, Response, current_app
from pydantic import BaseModel, TypeAdapter

from jobsched.base.jsontext import dumps
from jobsched.base.version import __version__
from jobsched.web.http import negotiate
from jobsched.web.http.body import FORMS, MOST_INTEGER
from jobsched.web.http.validation import MOST_ITEMS
from jobsched.web.schemas import ProblemOut

VERSION = "3.1.0"

_REF = "#/components/schemas/{model}"
_PROBLEM = {"$ref": "#/components/responses/Problem"}
_BUSY = {"$ref": "#/components/responses/Busy"}
#: What stands in paths, by name.
_IN_PATHS: Mapping[str, dict[str, Any]] = {
    "id": {"type": "integer", "minimum": 1, "maximum": MOST_INTEGER}, "name": {"type": "string", "minLength": 1},
}
_HEADERS = {
    "Location": "the URL of the created object, if there is just one",
    "Link": 'the next page: rel="next"; absent on the last page',
    "Idempotency-Replayed": "true if this repeats the first answer to an Idempotency-Key",
}


@dataclass(frozen=True)
class Operation:
    """What a path does for a method. ``answers`` maps the statuses of success to the types of their JSON."""

    summary: str
    answers: Mapping[int, Any]
    body: type[BaseModel] | None = None
    #: Whether the body may be a list as well; whether its fields may all be left out; whether it is a bare form.
    many: bool = False
    partial: bool = False
    form: bool = False
    query: type[BaseModel] | None = None
    pages: bool = False
    idempotent: bool = False
    conflicts: bool = False
    #: Whether a site may have no room for it.
    bounded: bool = False
    #: Whether browsers get a page.
    html: bool = True
    #: Whether the answer is text instead of JSON.
    plain: bool = False
    #: Statuses of trouble that have a body of their own.
    troubles: Mapping[int, Any] | None = None

    def on(self, view: Callable[..., Response]) -> Callable[..., Response]:
        """The view as a function that carries this operation."""

        @wraps(view)
        def call(**kwargs: Any) -> Response:
            return view(**kwargs)

        call.operation = self  # type: ignore[attr-defined]
        return call

    def problems(self, method: str, is_one: bool) -> list[int]:
        """The statuses that the operation may refuse with."""
        unsafe = method != "GET"
        found = {403} if unsafe else set()
        if is_one:
            found |= {404}
        if self.body or self.form:
            found |= {400, 413, 415, 422}
        if self.idempotent:
            found |= {400, 422}
        if self.query:
            found |= {422}
        if self.body or self.conflicts:
            found |= {409}
        if self.bounded:
            found |= {429}
        return sorted(found)


def operations(app: Flask) -> Iterator[tuple[str, str, Operation]]:
    """Each path (as OpenAPI spells it), method and operation of the application, by path."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        operation = getattr(app.view_functions[rule.endpoint], "operation", None)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            if operation is not None:
                yield re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method, operation


def document() -> Response:
    """The document as an answer."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    return negotiate.json_answer(dumps(describe(app)))


def describe(app: Flask) -> dict[str, Any]:
    """The OpenAPI document of an application."""
    found = list(operations(app))
    schemas, refs = _schemas([operation for _, _, operation in found])
    paths: dict[str, Any] = {}
    for path, method, operation in found:
        paths.setdefault(path, {})[method.lower()] = _operation(path, method, operation, refs)
    return {
        "openapi": VERSION,
        "info": {
            "title": "jobsched", "version": __version__,
            "description": "Fair scheduling of many customers' jobs. Every path also works under /website, and with or "
                           "without a trailing slash. Browsers get pages, clients get JSON. Unknown fields and query "
                           "parameters are refused. An empty form field is empty text in a text field, and counts as "
                           "missing in any other field.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": _refusals(refs[ProblemOut]),
        },
    }


def _refusals(schema: Any) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": schema}}
    seconds = {"description": "whole seconds to wait before a retry", "schema": {"type": "integer", "minimum": 1}}
    return {
        "Problem": {"description": "Refused; nothing was changed", "content": content},
        "Busy": {"description": "A site would exceed its max_pending; nothing was changed", "content": content,
                 "headers": {"Retry-After": seconds}},
    }


class _Refs(dict[Any, Any]):
    """References to schemas, by type."""

    def __getitem__(self, type_: Any) -> Any:
        return super().__getitem__(repr(type_))


def _schemas(found: list[Operation]) -> tuple[dict[str, Any], _Refs]:
    """The schemas of all operations by name, and how to refer to each type."""
    wanted: dict[str, tuple[Any, Any]] = {repr(ProblemOut): (ProblemOut, "serialization")}
    for operation in found:
        for type_ in (*operation.answers.values(), *(operation.troubles or {}).values()):
            if type_ is not None:
                wanted[repr(type_)] = (type_, "serialization")
        if operation.body is not None:
            wanted[repr(operation.body)] = (operation.body, "validation")
    refs, definitions = TypeAdapter.json_schemas(
        [(key, mode, TypeAdapter(type_)) for key, (type_, mode) in wanted.items()], ref_template=_REF
    )
    schemas = cast("dict[str, Any]", definitions["$defs"])
    for operation in found:
        if operation.body is not None and operation.partial:
            whole = schemas[operation.body.__name__]
            schemas[f"{operation.body.__name__}Patch"] = {k: v for k, v in whole.items() if k != "required"}
    return schemas, _Refs({key: schema for (key, _), schema in refs.items()})


def _operation(path: str, method: str, operation: Operation, refs: _Refs) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", path)
    answers: dict[str, Any] = {
        str(status): _answer(status, type_, operation, refs) for status, type_ in operation.answers.items()
    }
    for status in operation.problems(method, bool(names)):
        answers[str(status)] = _BUSY if status == HTTPStatus.TOO_MANY_REQUESTS else _PROBLEM
    for status, type_ in (operation.troubles or {}).items():
        answers[str(status)] = _answer(status, type_, operation, refs)
    name = re.sub(r"{\w+}", "item", path.strip("/")).replace("/", "_").replace(".", "_") or "index"
    described: dict[str, Any] = {
        "operationId": f"{method.lower()}_{name}".replace("-", "_"),
        "summary": operation.summary,
        "tags": [path.split("/")[1] or "index"],
        "parameters": _parameters(names, operation),
        "responses": {**answers, "default": _PROBLEM},
    }
    if operation.body is not None or operation.form:
        described["requestBody"] = _body(operation, refs)
    return described


def _answer(status: int, type_: Any, operation: Operation, refs: _Refs) -> dict[str, Any]:
    names = {"Location": status in (201, 303), "Link": operation.pages, "Idempotency-Replayed": operation.idempotent}
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    headers = {
        name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name, there in names.items() if there
    }
    if headers:
        answer["headers"] = headers
    if type_ is not None:
        answer["content"] = {"text/plain" if operation.plain else "application/json": {"schema": refs[type_]}}
        if operation.html:
            answer["content"]["text/html"] = {"schema": {"type": "string"}}
    return answer


def _parameters(names: Sequence[str], operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _IN_PATHS[name]} for name in names
    ]
    if operation.query is not None:
        query = operation.query.model_json_schema()
        for name, schema in query["properties"].items():
            schema = _resolved(schema, query.get("$defs", {}))
            found.append({"name": name, "in": "query", "description": schema.pop("description", name),
                          "schema": schema})
    if operation.idempotent:
        found.append({
            "name": "Idempotency-Key", "in": "header", "description": "a repeat with this key gets the first answer",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        })
    return found


def _resolved(schema: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's schema without null, which a query can not hold, and without references."""
    whole = {key: value for key, value in schema.items() if key not in ("anyOf", "default") or value is not None}
    options = [option for option in whole.pop("anyOf", []) if option.get("type") != "null"]
    for option in options:
        whole |= definitions[option["$ref"].rsplit("/", 1)[1]] if "$ref" in option else option
    return {**whole, "description": schema.get("description", "")}


def _body(operation: Operation, refs: _Refs) -> dict[str, Any]:
    if operation.body is None:
        methods = {"type": "string", "enum": ["PUT", "PATCH", "DELETE"]}
        form: Any = {"type": "object", "properties": {"_method": methods}, "required": ["_method"]}
        return {"required": True, "content": {mimetype: {"schema": form} for mimetype in FORMS}}
    one = refs[operation.body]
    if operation.partial:
        one = {"$ref": _REF.format(model=f"{operation.body.__name__}Patch")}
    many = {"type": "array", "items": one, "minItems": 1, "maxItems": MOST_ITEMS}
    some = {"anyOf": [one, many]} if operation.many else one
    content = {"application/json": {"schema": some}} | {mimetype: {"schema": one} for mimetype in FORMS}
    return {"required": True, "content": content}
