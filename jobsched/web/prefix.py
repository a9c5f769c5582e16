"""Maps the spellings of a path (prefix, trailing slash) to one address."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: Every path answers under this one as well.
PREFIX = "/website"


class Prefix:
    """WSGI middleware: ``/website/sites/`` is ``/sites``, and links stay under the prefix that was asked for."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "").rstrip("/")
        if path == PREFIX or path.startswith(f"{PREFIX}/"):
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + PREFIX
            path = path[len(PREFIX):]
        environ["PATH_INFO"] = path or "/"
        return self._app(environ, start_response)
