"""Chooses the form of an answer: a page for a browser, otherwise JSON, at the same address."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import Response, render_template, request


def wants_html() -> bool:
    """Whether the client prefers a page. JSON when it names nothing, or both alike."""
    accept = request.accept_mimetypes
    return accept["text/html"] > accept["application/json"]


def page(template: str, status: int = 200, **context: Any) -> Response:
    """A page. Templates get exactly the values that the JSON answer would hold."""
    return _varying(Response(render_template(template, **context), status, mimetype="text/html"))


def json_answer(text: str, status: int = 200, location: str | None = None) -> Response:
    """An answer of JSON that :func:`dumps` has made."""
    response = _varying(Response(text, status, mimetype="application/json"))
    if location is not None:
        response.headers["Location"] = location
    return response


def no_content() -> Response:
    """Done, and nothing to show."""
    response = _varying(Response(status=204))
    del response.headers["Content-Type"]
    return response


def see_other(location: str) -> Response:
    """Where a browser goes after its form was taken, so that a reload does not send it again."""
    return _varying(Response(status=303, headers={"Location": location}, mimetype="text/html"))


def back(otherwise: str) -> str:
    """The page of ours that a browser's form was sent from, else ``otherwise``."""
    came_from = urlsplit(request.referrer or "")
    if came_from.netloc != request.host:
        return otherwise
    path = "/" + came_from.path.lstrip("/\\")  # "//host" would lead away
    return f"{path}?{came_from.query}" if came_from.query else path


def _varying(response: Response) -> Response:
    response.vary.add("Accept")
    return response
