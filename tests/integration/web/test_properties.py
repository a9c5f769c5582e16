"""For any request, the answer is one of those described, and a refused request changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.requests import add_job, add_user

texts = st.text(st.characters(), max_size=30)
some_json: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
content_types = st.sampled_from([
    "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "x", "",
])
near_site = st.fixed_dictionaries({"name": texts | some_json}, optional={
    "domain": texts, "url": texts | some_json, "description": texts, "record_capacity": st.integers(-1, 4) | some_json,
    "record_capicity": st.integers(1, 3) | some_json, "weight": st.floats(0, 101) | some_json,
    "max_running": st.none() | st.integers(0, 10_001) | some_json, "rate_per_s": st.floats(0, 10_001) | some_json,
    "burst": st.integers(0, 10_001) | some_json, "max_pending": st.none() | st.integers(0, 1_000_001) | some_json,
    "paused": st.booleans() | some_json,
})
near_user = st.fixed_dictionaries({"site": st.integers(0, 2) | some_json, "name": texts}, optional={
    "email": texts, "dob": texts | st.dates().map(str), "is_active": st.booleans() | some_json, "phone": texts,
})
near_job = st.fixed_dictionaries(
    {"user": st.integers(0, 2) | some_json, "site": st.integers(0, 2),
     "execution_time": st.floats(0, 11, exclude_min=True) | some_json},
    optional={"task": st.just("sleep") | texts, "payload": st.dictionaries(texts, some_json, max_size=3) | some_json,
              "run_at": st.datetimes().map(lambda moment: f"{moment.isoformat()}Z") | texts},
)
near = {"/sites": near_site, "/user-records": near_user, "/jobs": near_job}
checked = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def something(client: FlaskClient) -> None:
    add_job(client, user=add_user(client))


@pytest.mark.parametrize("path", ["/sites", "/user-records", "/jobs"])
def test_near_misses_are_created_or_refused(client: FlaskClient, path: str) -> None:
    @checked
    @given(near[path] | st.lists(near[path], max_size=3) | some_json)
    def check(value: Any) -> None:
        before = client.get(f"{path}?limit=1").json[0]["id"]
        response = client.post(path, data=json.dumps(value), content_type="application/json")
        assert response.status_code in (201, 400, 422), response.text
        after = client.get(f"{path}?limit=1").json[0]["id"]
        assert (after > before) == (response.status_code == 201)

    check()


@pytest.mark.parametrize("path", ["/sites/1", "/user-records/1", "/jobs/1"])
def test_near_misses_change_or_are_refused(client: FlaskClient, path: str) -> None:
    @checked
    @given(near[path.rpartition("/")[0]] | some_json, st.sampled_from(["PUT", "PATCH"]))
    def check(value: Any, method: str) -> None:
        response = client.open(path, method=method, data=json.dumps(value), content_type="application/json")
        assert response.status_code in (200, 400, 422), response.text
        assert client.get(path).status_code == 200
        assert client.get(path, headers={"Accept": "text/html"}).status_code == 200

    check()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@checked
@given(
    st.sampled_from(["/", "/sites", "/sites/1", "/jobs", "/jobs/1", "/jobs/1/cancel", "/user-records/1", "/lanes",
                     "/lanes/1s/pause", "/lanes/x/resume", "/policy", "/x"]),
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]),
    st.binary(max_size=60),
    content_types,
    st.sampled_from(["*/*", "text/html", "application/json", "q"]),
    st.dictionaries(st.sampled_from(["limit", "cursor", "site", "status", "part", "x"]), texts, max_size=3),
)
def test_garbage_is_never_a_server_error(
    client: FlaskClient, path: str, method: str, body: bytes, content_type: str, accept: str, query: dict[str, str]
) -> None:
    arguments = {name: text.encode("utf-8", "replace").decode() for name, text in query.items()}
    response = client.open(path, method=method, data=body, content_type=content_type, headers={"Accept": accept},
                           query_string=arguments)
    assert response.status_code < 500, response.text
