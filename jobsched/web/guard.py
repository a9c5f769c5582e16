"""Refuses forms that another site's page sends, and requests for a host name that is not this machine's."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from flask import Flask, Response, request

from jobsched.web import current
from jobsched.web.http.problems import Problem

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_SAFE = ("GET", "HEAD", "OPTIONS")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def install(app: Flask) -> None:
    """Guard every request, and every answer."""
    app.before_request(refuse_foreign_hosts)
    app.before_request(refuse_foreign_pages)
    app.after_request(harden)


def refuse_foreign_hosts() -> None:
    """Refuse names that are not this machine's: a name of an attacker's that points here has the attacker's origin."""
    if _split(f"//{request.host}").hostname not in (*_LOOPBACK, current.settings().host):
        raise Problem(421, f"this server is known as {', '.join(_LOOPBACK)}; not as {request.host!r}")


def refuse_foreign_pages() -> None:
    """Refuse to change anything for a page of another origin. Clients that are no browsers send neither header."""
    if request.method in _SAFE:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site in ("same-origin", "none"):
        return
    if (site is None and origin is None) or (origin and site != "cross-site" and _is_ours(origin)):
        return
    raise Problem(403, f"a page of another origin ({origin or site}) may not change anything here")


def harden(response: Response) -> Response:
    """Add the headers that keep a browser from doing more with an answer than showing it."""
    response.headers.update(_HEADERS)
    return response


def _is_ours(origin: str) -> bool:
    return _split(origin).netloc == request.host


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")
