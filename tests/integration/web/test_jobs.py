"""Jobs over HTTP, on both databases."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flask.testing import FlaskClient

from jobsched.domain import Status
from jobsched.ledger.models import Job, db
from tests.integration.requests import add_job, add_site, add_user, board_of, created, pointers, problem, set_status


@pytest.fixture(autouse=True)
def user(client: FlaskClient) -> int:
    """User 1 of site 1."""
    return add_user(client)


def on_board(client: FlaskClient, band: str) -> int:
    return next(lane.waiting for lane in board_of(client).view.lanes() if lane.band == band)


def test_a_job_is_created_pending_and_placed_on_the_board(client: FlaskClient) -> None:
    response = client.post("/jobs", json={"user": 1, "site": 1, "execution_time": 0.0895, "payload": {"a": [1, "ü"]}})
    job = created(response)
    assert response.headers["Location"] == f"/jobs/{job['id']}"
    expected = {
        "user": 1, "user_name": "Ann", "site": 1, "site_name": "Acme", "task": "sleep", "payload": {"a": [1, "ü"]},
        "execution_time": 0.0895, "task_type": "task_03", "band": "100ms", "status": "pending", "attempt": 0,
        "run_at": None, "dispatched_at": None, "started_at": None, "finished_at": None, "run_time": None,
        "result": None, "error": None,
    }
    assert {name: job[name] for name in expected} == expected
    assert datetime.strptime(job["submitted_at"], "%Y-%m-%dT%H:%M:%S.%f%z")
    assert job["submitted_at"].endswith("Z")
    assert client.get(f"/jobs/{job['id']}").json == job
    assert on_board(client, "task_03") == 1


@pytest.mark.parametrize(("execution_time", "band"), [
    (1e-6, "1ms"), (0.001, "1ms"), (0.0010001, "10ms"), (0.01, "10ms"), (0.1, "100ms"), (1, "1s"), (10, "10s"),
])
def test_a_job_belongs_to_the_first_band_that_holds_it(client: FlaskClient, execution_time: float, band: str) -> None:
    assert add_job(client, execution_time=execution_time)["band"] == band


def test_a_batch_is_created_in_its_order(client: FlaskClient) -> None:
    site = add_site(client)
    wishes = [{"user": 1, "site": 1 + i % 2 * (site - 1), "execution_time": 0.001 * (i + 1)} for i in range(2500)]
    jobs = created(client.post("/jobs", json=wishes))
    assert [{name: job[name] for name in ("user", "site", "execution_time")} for job in jobs] == wishes
    assert [job["id"] for job in jobs] == sorted({job["id"] for job in jobs})
    assert sum(lane.waiting for lane in board_of(client).view.lanes()) == 2500


def test_every_fault_of_a_batch_is_listed_and_nothing_is_created(client: FlaskClient) -> None:
    good = {"user": 1, "site": 1, "execution_time": 1}
    batch: list[Any] = [
        good, {**good, "user": 99}, {**good, "site": 99, "task": "nonsense"}, {**good, "execution_time": 10.001},
        {**good, "execution_time": "x", "extra": 1}, {"user": 1}, 7, good,
        {**good, "user": 99, "site": None, "run_at": "x"},
    ]
    assert pointers(client.post("/jobs", json=batch)) == [
        "/1/user", "/2/site", "/2/task", "/3/execution_time", "/4/execution_time", "/4/extra", "/5/site",
        "/6", "/8/site", "/8/run_at", "/8/user",
    ]
    assert client.get("/jobs").json == []
    assert sum(lane.waiting for lane in board_of(client).view.lanes()) == 0


def test_of_very_many_faults_the_first_are_listed(client: FlaskClient) -> None:
    found = problem(client.post("/jobs", json=[{}] * 600), 422)
    assert len(found["errors"]) == 1000
    assert "1200" in found["detail"]


def test_a_job_with_a_moment_in_the_future_is_scheduled(client: FlaskClient) -> None:
    moment = datetime.now(timezone.utc) + timedelta(days=1)
    job = add_job(client, run_at=moment.isoformat())
    assert job["status"] == "scheduled"
    assert job["run_at"] == moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert on_board(client, "task_04") == 0
    assert add_job(client, run_at="2020-01-01T12:00:00+05:30")["status"] == "pending"


def test_a_change_of_execution_time_moves_the_job_to_its_new_lane(client: FlaskClient) -> None:
    id_ = add_job(client, execution_time=5)["id"]
    changed = client.patch(f"/jobs/{id_}", json={"execution_time": 0.0005}).json
    assert (changed["band"], changed["task"], changed["user"]) == ("1ms", "sleep", 1)
    assert (on_board(client, "task_05"), on_board(client, "task_01")) == (0, 1)


def test_an_execution_time_may_be_left_to_history(client: FlaskClient) -> None:
    wish = {"user": 1, "site": 1}
    assert pointers(client.post("/jobs", json=wish)) == ["/execution_time"]
    first = add_job(client)["id"]
    set_status(client, first, Status.COMPLETED, run_time=0.04)
    made = created(client.post("/jobs", json=wish))
    assert (made["execution_time"], made["estimated"], made["band"], made["overruns"]) == (0.04, True, "100ms", 0)
    again = client.post(made["links"]["self"], data={"_method": "PATCH", "execution_time": "", "payload": "{}"}).json
    assert (again["execution_time"], again["estimated"]) == (0.04, True)
    said = client.patch(made["links"]["self"], json={"execution_time": 0.5}).json
    assert (said["execution_time"], said["estimated"], said["band"]) == (0.5, False, "1s")


def test_an_estimate_outlives_its_history(client: FlaskClient) -> None:
    first = add_job(client)["id"]
    set_status(client, first, Status.COMPLETED, run_time=0.04)
    made = created(client.post("/jobs", json={"user": 1, "site": 1}))
    set_status(client, first, Status.FAILED, run_time=None)
    changed = client.patch(made["links"]["self"], json={"payload": {"a": 1}}).json
    assert (changed["execution_time"], changed["estimated"], changed["payload"]) == (0.04, True, {"a": 1})
    elsewhere = add_site(client)
    assert pointers(client.patch(made["links"]["self"], json={"site": elsewhere})) == ["/execution_time"]


def test_put_replaces_a_job(client: FlaskClient) -> None:
    id_ = add_job(client, payload={"a": 1}, run_at="2090-01-01T00:00:00Z")["id"]
    patched = client.patch(f"/jobs/{id_}", json={"execution_time": 1}).json
    assert (patched["payload"], patched["status"]) == ({"a": 1}, "scheduled")
    replaced = client.put(f"/jobs/{id_}", json={"user": 1, "site": 1, "execution_time": 1}).json
    assert (replaced["payload"], replaced["run_at"], replaced["status"]) == ({}, None, "pending")
    assert on_board(client, "task_04") == 1


def test_a_refused_change_leaves_the_job_where_it_waits(client: FlaskClient) -> None:
    id_ = add_job(client)["id"]
    assert pointers(client.patch(f"/jobs/{id_}", json={"user": 99, "task": "x"})) == ["/user", "/task"]
    assert on_board(client, "task_04") == 1


def test_every_fault_of_a_change_is_listed(client: FlaskClient) -> None:
    id_ = add_job(client)["id"]
    faulty = {"user": 99, "task": "x", "execution_time": 0}
    assert sorted(pointers(client.patch(f"/jobs/{id_}", json=faulty))) == ["/execution_time", "/task", "/user"]


def test_a_waiting_job_can_be_deleted(client: FlaskClient) -> None:
    id_ = add_job(client)["id"]
    assert client.delete(f"/jobs/{id_}").status_code == 204
    problem(client.get(f"/jobs/{id_}"), 404)
    assert on_board(client, "task_04") == 0


@pytest.mark.parametrize("status", [Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.CANCELLED])
def test_only_a_waiting_job_can_be_changed_deleted_or_cancelled(client: FlaskClient, status: Status) -> None:
    id_ = add_job(client)["id"]
    set_status(client, id_, status)
    before = client.get(f"/jobs/{id_}").json
    problem(client.patch(f"/jobs/{id_}", json={"execution_time": 1}), 409)
    problem(client.put(f"/jobs/{id_}", json={"user": 1, "site": 1, "execution_time": 1}), 409)
    problem(client.delete(f"/jobs/{id_}"), 409)
    problem(client.post(f"/jobs/{id_}/cancel"), 409)
    assert client.get(f"/jobs/{id_}").json == before


def test_a_job_that_was_handed_to_a_worker_can_not_be_changed(client: FlaskClient) -> None:
    id_ = add_job(client)["id"]
    assert board_of(client).take("task_04", 1, budget_s=0.1, lease_s=60)
    problem(client.patch(f"/jobs/{id_}", json={"execution_time": 1}), 409)
    problem(client.delete(f"/jobs/{id_}"), 409)
    assert client.get(f"/jobs/{id_}").json["status"] == "pending"


def test_cancel_takes_a_job_off_the_board_and_retry_puts_it_back(client: FlaskClient) -> None:
    job = add_job(client)
    cancelled = client.post(job["links"]["cancel"])
    assert (cancelled.status_code, cancelled.json["status"]) == (200, "cancelled")
    assert cancelled.json["finished_at"] is not None
    assert on_board(client, "task_04") == 0
    retried = client.post(cancelled.json["links"]["retry"])
    assert (retried.status_code, retried.json["status"], retried.json["finished_at"]) == (200, "pending", None)
    assert on_board(client, "task_04") == 1


@pytest.mark.parametrize(("status", "code"), [
    (Status.FAILED, 200), (Status.CANCELLED, 200), (Status.COMPLETED, 409), (Status.RUNNING, 409),
    (Status.PENDING, 409), (Status.SCHEDULED, 409),
])
def test_only_a_failed_or_cancelled_job_is_retried(client: FlaskClient, status: Status, code: int) -> None:
    id_ = add_job(client)["id"]
    set_status(client, id_, status)
    assert client.post(f"/jobs/{id_}/retry").status_code == code


@pytest.mark.parametrize("move", ["cancel", "retry"])
def test_a_job_that_is_not_there_can_not_be_moved(client: FlaskClient, move: str) -> None:
    problem(client.post(f"/jobs/99/{move}"), 404)


def test_what_a_task_returned_is_shown_whatever_it_is(client: FlaskClient) -> None:
    id_ = add_job(client)["id"]
    set_status(client, id_, Status.COMPLETED, result={"half": "\ud800", "deep": [[None]]}, run_time=0.25)
    assert client.get(f"/jobs/{id_}").json["result"] == {"half": "\ud800", "deep": [[None]]}
    assert client.get("/jobs").json[0]["run_time"] == 0.25


def test_a_job_of_a_band_that_is_gone_is_still_shown(client: FlaskClient) -> None:
    id_ = add_job(client)["id"]
    with client.application.app_context():
        db.session.get_one(Job, id_).band = "task_99"
        db.session.commit()
    assert client.get(f"/jobs/{id_}").json["band"] == "task_99"


def test_a_user_who_is_deleted_meanwhile_is_a_conflict(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobsched.intake.drafts._look", lambda *_: ([], {}))
    for headers in ({}, {"Idempotency-Key": "a"}):
        problem(client.post("/jobs", json={"user": 99, "site": 1, "execution_time": 1}, headers=headers), 409)
    assert client.get("/jobs").json == []
