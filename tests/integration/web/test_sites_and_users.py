"""Sites and user records over HTTP, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from jobsched.domain import Status
from jobsched.ledger.models import Job, UserRecord, db
from tests.integration.requests import add_job, add_site, add_user, board_of, created, pointers, problem, set_status


def test_a_site_is_created_with_its_address(client: FlaskClient) -> None:
    fields = {"name": "Acme", "domain": "acme.example", "url": "https://acme.example", "description": "makes all",
              "record_capacity": 3}
    response = client.post("/sites", json=fields)
    site = created(response)
    assert {name: site[name] for name in fields} == fields
    assert response.headers["Location"] == site["links"]["self"] == f"/sites/{site['id']}"
    assert client.get(response.headers["Location"]).json == {**site, "estimates": [], "in_flight": 0}


def test_both_spellings_of_record_capacity_are_taken_and_given(client: FlaskClient) -> None:
    site = created(client.post("/sites", json={"name": "Acme", "record_capicity": 2}))
    assert site["record_capacity"] == site["record_capicity"] == 2
    both = {"name": "Acme", "record_capacity": 3, "record_capicity": 3}
    assert created(client.post("/sites", json=both))["record_capacity"] == 3
    assert pointers(client.post("/sites", json={**both, "record_capicity": 1})) == ["/record_capicity"]
    assert client.patch(f"/sites/{site['id']}", json={"record_capicity": 1}).json["record_capacity"] == 1


def test_a_list_is_created_in_its_order_or_not_at_all(client: FlaskClient) -> None:
    names = [f"site {i}" for i in range(30)]
    response = client.post("/sites", json=[{"name": name} for name in names])
    sites = created(response)
    assert [site["name"] for site in sites] == names
    assert [site["id"] for site in sites] == sorted(site["id"] for site in sites)
    assert "Location" not in response.headers
    assert pointers(client.post("/sites", json=[{"name": "fine"}, {"name": ""}, {}])) == ["/1/name", "/2/name"]
    assert len(client.get("/sites").json) == 30


def test_put_replaces_and_patch_changes_only_what_is_given(client: FlaskClient) -> None:
    id_ = add_site(client, domain="acme.example", record_capacity=3)
    patched = client.patch(f"/sites/{id_}", json={"name": "Emca"}).json
    assert (patched["name"], patched["domain"], patched["record_capacity"]) == ("Emca", "acme.example", 3)
    put = client.put(f"/sites/{id_}", json={"name": "Acme"}).json
    assert (put["name"], put["domain"], put["record_capacity"]) == ("Acme", "", 1)


def test_a_site_tells_where_it_stands(client: FlaskClient) -> None:
    id_ = add_site(client, record_capacity=2)
    user, idle = add_user(client, id_), add_user(client, id_, is_active=False)
    for execution_time in (0.0005, 0.5, 0.7):
        add_job(client, user=user, site=id_, execution_time=execution_time)
    add_job(client, user=idle, site=id_, execution_time=5)
    site = client.get(f"/sites/{id_}").json
    assert (site["total_users"], site["total_jobs"]) == (2, 4)
    assert site["pending"] == {"task_01": 1, "task_04": 2, "task_05": 1}
    assert site["points"] == 1 + (5 + 2 + 2 + 1) + 2  # the active user's tier, the jobs' bands, the capacity
    assert site["place"] == 1
    assert site["places"] == {"task_01": 1, "task_04": 1, "task_05": 1}


def test_without_a_board_a_site_is_counted_from_sql(client: FlaskClient) -> None:
    id_ = add_site(client, record_capacity=2)
    add_job(client, user=add_user(client, id_), site=id_, execution_time=0.0005)
    add_job(client, user=add_user(client, is_active=False), site=id_, execution_time=0.0005)
    add_site(client)
    board_of(client).wipe()
    site = client.get(f"/sites/{id_}").json
    assert (site["points"], site["pending"], site["place"]) == (1 + 5 + 5 + 2, {"task_01": 2}, None)
    assert [site["points"] for site in client.get("/sites").json] == [1, 1, 13]


def test_a_user_record_has_all_its_fields(client: FlaskClient) -> None:
    fields: dict[str, Any] = {
        "site": add_site(client), "name": "Änn 👩", "email": "ann@acme.example", "phone": "+49 1", "address": "Road 1",
        "country": "X", "state": "Y", "city": "Z", "pincode": "12345", "dob": "1990-02-28", "is_active": False,
    }
    user = created(client.post("/user-records", json=fields))
    assert {name: user[name] for name in fields} == fields
    assert user["site_name"] == "Acme"
    put = client.put(user["links"]["self"], json={"site": fields["site"], "name": "Bob"}).json
    assert (put["email"], put["dob"], put["is_active"]) == ("", None, True)
    assert client.patch(user["links"]["self"], json={"dob": None, "city": "Q"}).json["city"] == "Q"


@pytest.mark.parametrize(("jobs", "tier"), [(0, "Active"), (4, "Active"), (5, "VeryActive"), (10, "HyperActive")])
def test_a_users_tier_follows_his_pending_jobs(client: FlaskClient, jobs: int, tier: str) -> None:
    user = add_user(client)
    client.post("/jobs", json=[{"user": user, "site": 1, "execution_time": 1}] * jobs) if jobs else None
    found = client.get(f"/user-records/{user}").json
    assert (found["customer_type"], found["pending_jobs"], len(found["jobs"])) == (tier, jobs, jobs)


def test_a_user_record_shows_the_latest_jobs(client: FlaskClient) -> None:
    user = add_user(client)
    jobs = created(client.post("/jobs", json=[{"user": user, "site": 1, "execution_time": 1}] * 25))
    shown = client.get(f"/user-records/{user}").json
    assert [job["id"] for job in shown["jobs"]] == [job["id"] for job in reversed(jobs)][:20]
    assert len(client.get(shown["links"]["jobs"]).json) == 25


def test_who_becomes_inactive_stops_counting(client: FlaskClient) -> None:
    user = add_user(client)
    add_job(client, execution_time=5)
    before = client.get("/sites/1").json["points"]
    client.patch(f"/user-records/{user}", json={"is_active": False})
    assert client.get("/sites/1").json["points"] == before - 1


def test_a_user_record_needs_a_site_that_exists(client: FlaskClient) -> None:
    site = add_site(client)
    sent = [{"site": site, "name": "a"}, {"site": 99, "name": "b"}, {"site": True, "name": ""}]
    assert pointers(client.post("/user-records", json=sent)) == ["/1/site", "/2/site", "/2/name"]
    assert client.get("/user-records").json == []
    user = add_user(client, site)
    assert pointers(client.patch(f"/user-records/{user}", json={"site": 99})) == ["/site"]


@pytest.mark.parametrize("path", ["/sites/1", "/user-records/1"])
def test_what_has_unfinished_jobs_is_not_deleted(client: FlaskClient, path: str) -> None:
    user = add_user(client)
    elsewhere = add_site(client)
    job = add_job(client, user=user, site=elsewhere)["id"]
    for status in (Status.PENDING, Status.RUNNING, Status.SCHEDULED):
        set_status(client, job, status)
        problem(client.delete(path), 409)
    set_status(client, job, Status.COMPLETED)
    response = client.delete(path)
    assert (response.status_code, response.data) == (204, b"")
    problem(client.get(path), 404)
    problem(client.get(f"/jobs/{job}"), 404)


def test_a_site_takes_its_users_and_their_ended_jobs_with_it(client: FlaskClient) -> None:
    site, other = add_site(client), add_site(client)
    ours, theirs = add_user(client, site), add_user(client, other)
    for user, where in ((ours, site), (ours, other), (theirs, site), (theirs, other)):
        set_status(client, add_job(client, user=user, site=where)["id"], Status.FAILED)
    assert client.delete(f"/sites/{site}").status_code == 204
    with client.application.app_context():
        assert [(job.user_id, job.site_id) for job in db.session.scalars(db.select(Job))] == [(theirs, other)]
        assert [user.id for user in db.session.scalars(db.select(UserRecord))] == [theirs]


@pytest.mark.parametrize("collection", ["sites", "user-records", "jobs"])
def test_what_is_not_there_is_not_found(client: FlaskClient, collection: str) -> None:
    for id_ in ("1", "9223372036854775807", "9223372036854775808", "0", "-1", "x", "01", "1.0", "%00", "9" * 5000):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            problem(client.open(f"/{collection}/{id_}", method=method, json={"name": "x"}), 404)
