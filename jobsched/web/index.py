"""The page at ``/``, and the other addresses that belong to no collection."""

from __future__ import annotations

from flask import Flask, Response, current_app

from jobsched.base.jsontext import dumps
from jobsched.web import current
from jobsched.web.api import health, metrics, openapi
from jobsched.web.api.openapi import Operation
from jobsched.web.http import negotiate
from jobsched.web.pages import dashboard
from jobsched.web.schemas import EndpointOut, HealthOut, ReadyOut


def install(app: Flask) -> None:
    """Register the addresses."""
    for rule, view, operation in (
        ("/", index, Operation("The dashboard; for clients, every path with its methods", {200: list[EndpointOut]})),
        ("/healthz", health.healthz, Operation("Whether the process is up", {200: HealthOut}, html=False)),
        ("/readyz", health.readyz, Operation(
            "Whether jobs that are submitted now will run", {200: ReadyOut}, html=False, troubles={503: ReadyOut})),
        ("/metrics", metrics.metrics, Operation(
            "Figures of lanes and workers, for Prometheus", {200: str}, html=False, plain=True)),
        ("/openapi.json", openapi.document, Operation("This OpenAPI document", {200: dict[str, object]}, html=False)),
    ):
        app.add_url_rule(rule, view.__name__, operation.on(view), methods=["GET"])


def index() -> Response:
    """The dashboard for a browser; for clients every address with its methods."""
    if negotiate.wants_html():
        return dashboard.show(current.board(), current.redis(), current.settings())
    return negotiate.json_answer(dumps(_endpoints()))


def _endpoints() -> list[EndpointOut]:
    found: dict[str, EndpointOut] = {}
    for path, method, operation in openapi.operations(current_app):
        found.setdefault(path, {"path": path, "methods": {}})["methods"][method] = operation.summary
    return list(found.values())
