"""Helpers of the web tests."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from jobsched.board import Board
from jobsched.domain import Status
from jobsched.ledger.database import writing
from jobsched.ledger.models import Job

#: For tests in which the database plays no part.
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

#: What Chrome asks for when somebody opens a page.
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}


def board_of(client: FlaskClient) -> Board:
    """The board of a client's application."""
    found = client.application.extensions["jobsched.board"]
    assert isinstance(found, Board)
    return found


def created(response: TestResponse) -> Any:
    """The JSON of what was created."""
    assert response.status_code == 201, response.text
    return response.json


def add_site(client: FlaskClient, **fields: Any) -> int:
    """The id of a new site."""
    return int(created(client.post("/sites", json={"name": "Acme", **fields}))["id"])


def add_user(client: FlaskClient, site: int | None = None, **fields: Any) -> int:
    """The id of a new user record, of a new site when none is given."""
    home = add_site(client) if site is None else site
    return int(created(client.post("/user-records", json={"site": home, "name": "Ann", **fields}))["id"])


def add_job(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    """A new job, of site 1 and user 1 unless others are given."""
    job: dict[str, Any] = created(client.post("/jobs", json={"user": 1, "site": 1, "execution_time": 0.5, **fields}))
    return job


def set_status(client: FlaskClient, job: int, status: Status, **fields: Any) -> None:
    """Have a job be as a worker would leave it."""
    with client.application.app_context(), writing() as session:
        row = session.get_one(Job, job)
        row.status = status.value
        for name, value in fields.items():
            setattr(row, name, value)


def problem(response: TestResponse, status: int) -> dict[str, Any]:
    """The problem that a response is."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    found = response.json
    assert isinstance(found, dict)
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    return found


def pointers(response: TestResponse, status: int = 422) -> list[str]:
    """Where the faults lie that a response lists."""
    return [error["pointer"] for error in problem(response, status)["errors"]]
