"""Repeats of a POST under one Idempotency-Key, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from flask.testing import FlaskClient

from jobsched.ledger.models import IdempotencyKey, db
from tests.integration.requests import ON_SQLITE, add_job, add_user, board_of, created, pointers, problem

KEY = {"Idempotency-Key": "a key of ours"}


@pytest.mark.parametrize(("path", "body"), [
    ("/sites", {"name": "a"}), ("/sites", [{"name": "a"}, {"name": "b"}]), ("/user-records", {"site": 1, "name": "a"}),
    ("/jobs", {"user": 1, "site": 1, "execution_time": 1}), ("/jobs", [{"user": 1, "site": 1, "execution_time": 1}]),
])
def test_a_repeat_gets_the_first_answer_and_does_nothing(client: FlaskClient, path: str, body: Any) -> None:
    add_user(client)
    first = client.post(path, json=body, headers=KEY)
    created(first)
    before = client.get(path).json
    again = client.post(f"/website{path}/", json=body, headers=KEY)
    assert (again.status_code, again.data) == (first.status_code, first.data)
    assert again.headers.get("Location") == first.headers.get("Location")
    assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (None, "true")
    assert client.get(path).json == before


def test_a_repeated_job_waits_once(client: FlaskClient) -> None:
    add_user(client)
    for _ in range(3):
        created(client.post("/jobs", json={"user": 1, "site": 1, "execution_time": 1}, headers=KEY))
    assert sum(lane.waiting for lane in board_of(client).view.lanes()) == 1


def test_another_key_is_another_request(client: FlaskClient) -> None:
    for key in ("one", "two", "one"):
        created(client.post("/sites", json={"name": "a"}, headers={"Idempotency-Key": key}))
    assert len(client.get("/sites").json) == 2


@pytest.mark.parametrize(("path", "body"), [("/sites", {"name": "b"}), ("/user-records", {"name": "a"})])
def test_a_key_serves_one_request_only(client: FlaskClient, path: str, body: Any) -> None:
    created(client.post("/sites", json={"name": "a"}, headers=KEY))
    problem(client.post(path, json=body, headers=KEY), 422)
    assert len(client.get("/sites").json) == 1


def test_a_refused_request_may_be_mended_under_its_key(client: FlaskClient) -> None:
    assert pointers(client.post("/sites", json={"name": ""}, headers=KEY)) == ["/name"]
    add_user(client)
    wish = {"user": 99, "site": 1, "execution_time": 1}
    assert pointers(client.post("/jobs", json=wish, headers=KEY)) == ["/user"]
    created(client.post("/jobs", json={**wish, "user": 1}, headers=KEY))


def test_a_repeated_cancel_is_no_conflict(client: FlaskClient) -> None:
    add_user(client)
    job = add_job(client)["links"]
    first, again = (client.post(job["cancel"], headers=KEY) for _ in range(2))
    assert (first.status_code, first.data) == (again.status_code, again.data)
    assert first.status_code == 200
    problem(client.post(job["cancel"]), 409)
    problem(client.post(f"{job['self']}/retry", headers=KEY), 422)


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "schlüssel", "\x7f"])
@ON_SQLITE
def test_what_can_not_be_a_key_is_refused(client: FlaskClient, key: str) -> None:
    problem(client.post("/sites", json={"name": "a"}, headers={"Idempotency-Key": key}), 400)
    assert client.get("/sites").json == []


@ON_SQLITE
def test_a_key_may_have_255_characters(client: FlaskClient) -> None:
    created(client.post("/sites", json={"name": "a"}, headers={"Idempotency-Key": "x" * 255}))


def test_repeats_at_the_same_time_create_once(client: FlaskClient) -> None:
    add_user(client)
    together = Barrier(8)

    def post(_: int) -> tuple[int, bytes]:
        together.wait()
        response = client.application.test_client().post(
            "/jobs", json=[{"user": 1, "site": 1, "execution_time": 1}] * 20, headers=KEY)
        return response.status_code, response.data

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(post, range(8)))
    assert [status for status, _ in answers] == [201]
    assert len(client.get("/jobs").json) == 20
    with client.application.app_context():
        assert db.session.query(IdempotencyKey).count() == 1
