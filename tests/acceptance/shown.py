"""What a running stack shows to others: its HTTP answers, and the arguments of its processes."""

from __future__ import annotations

import http.client
import json
import re
from contextlib import suppress
from typing import Any

import psutil

#: What a client and a browser look at, errors as well.
PATHS = ("/", "/sites", "/sites/1", "/jobs", "/jobs/1", "/jobs/1/why", "/readyz", "/healthz", "/metrics", "/nowhere",
         "/openapi.json", "/policy")


def answer(port: int, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """The status and the JSON of an answer; 0 and None while nobody answers."""
    try:
        status, _, text = _ask(port, method, path, "application/json", body)
        return status, json.loads(text)
    except OSError:
        return 0, None


def pages(port: int) -> list[str]:
    """What a client and a browser are answered at each of PATHS: status, headers and body."""
    return [text_of(port, path, accept) for path in PATHS for accept in ("application/json", "text/html")]


def text_of(port: int, path: str, accept: str = "application/json") -> str:
    """An answer as one text; where there is none, why not."""
    try:
        return " ".join(str(part) for part in _ask(port, "GET", path, accept, None))
    except OSError as error:
        return re.sub(r"\W", " ", str(error))


def arguments(pid: int) -> list[str]:
    """The command lines of a process and of all below it."""
    found = []
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with suppress(psutil.Error):
            found.append(" ".join(process.cmdline()))
    return found


def _ask(port: int, method: str, path: str, accept: str, body: object) -> tuple[int, http.client.HTTPMessage, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, None if body is None else json.dumps(body),
                           {"Content-Type": "application/json", "Accept": accept})
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()
