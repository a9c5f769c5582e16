"""Bad request bodies: each is refused with what was wrong and where, and changes nothing."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.integration.requests import ON_SQLITE, add_site, add_user, created, pointers, problem

pytestmark = ON_SQLITE

JOB = {"user": 1, "site": 1, "execution_time": 1}


def deep(levels: int) -> str:
    """A job whose payload makes the whole nest ``levels`` deep."""
    return '{"user":1,"site":1,"execution_time":1,"payload":' + '{"a":' * (levels - 1) + "1" + "}" * levels


NOT_STRICT_JSON = [
    "", "{", "[", "nonsense", "{}{}", '{"a":1,}', "{'a':1}", '{"name":"a\tb"}', "\ufeff{}", "[1,]", "{1:2}", "01",
    '{"name":NaN}', '{"name":Infinity}', '{"name":-Infinity}', '{"name":1e400}', '{"name":-1e999}',
    '{"name":"a","name":"b"}', '{"name":"a","x":[{"y":1,"y":1}]}',
    '{"name":9223372036854775808}', '{"name":-9223372036854775808}', '{"name":' + "9" * 5000 + "}",
    '{"name":"\\ud800"}', '{"name":"\\udc00\\ud800"}', '{"\\ud83d":1}',
    deep(21), "[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000,
    b'{"name":"\xff"}', b'{"name":"\xed\xa0\x80"}', b"\xff\xfe{\x00}\x00", b"\x00",
]


@pytest.mark.parametrize("path", ["/sites", "/jobs"])
def test_what_is_not_strict_json_is_refused(client: FlaskClient, subtests: pytest.Subtests, path: str) -> None:
    for body in NOT_STRICT_JSON:
        with subtests.test(body=body[:40]):
            response = client.post(path, data=body, content_type="application/json")
            assert pointers(response, 400) == [""]
    assert client.get(path).json == []


def test_20_levels_are_taken(client: FlaskClient) -> None:
    add_user(client)
    created(client.post("/jobs", data=deep(20), content_type="application/json"))


@pytest.mark.parametrize("body", ["null", "true", "1", '"x"', "[]", "1.5"])
def test_what_is_no_object_is_refused(client: FlaskClient, body: str) -> None:
    assert pointers(client.post("/sites", data=body, content_type="application/json")) == [""]


@pytest.mark.parametrize("content_type", [
    None, "text/plain", "application/xml", "application/jsonp", "x", "application/json+", "text/html",
])
def test_other_content_types_are_refused(client: FlaskClient, content_type: str | None) -> None:
    problem(client.post("/sites", data='{"name":"a"}', content_type=content_type), 415)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_content_types_are_read_as_they_are_meant(client: FlaskClient, content_type: str) -> None:
    created(client.post("/sites", data='{"name":"a"}', content_type=content_type))


@pytest.mark.parametrize("path", ["/sites", "/jobs/1/cancel", "/nowhere"])
def test_a_body_over_8_mb_is_refused(client: FlaskClient, path: str) -> None:
    body = b" " * (8 * 1024 * 1024 + 1)
    problem(client.post(path, data=body, content_type="application/json"), 413)


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "a"}])
def test_a_body_over_8_mb_that_does_not_say_so_is_refused(client: FlaskClient, key: dict[str, str]) -> None:
    body = BytesIO(b'{"name":"a"}'.ljust(8 * 1024 * 1024) + b"x")
    response = client.post("/sites", input_stream=body, content_type="application/json", headers=key,
                           environ_overrides={"wsgi.input_terminated": True})
    problem(response, 413)
    assert body.read() == b""  # else the connection would break before the sender sees the answer
    assert client.get("/sites").json == []


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/jobs/1/cancel", 404), ("/healthz", 405)])
def test_a_body_that_nobody_wants_is_read_and_dropped(client: FlaskClient, path: str, status: int) -> None:
    body = BytesIO(b"x" * 1_000_000)
    problem(client.post(path, input_stream=body, environ_overrides={"wsgi.input_terminated": True}), status)
    assert body.read() == b""


def test_a_list_has_at_most_50000_items(client: FlaskClient) -> None:
    assert pointers(client.post("/sites", json=[{}] * 50_001)) == [""]


def test_a_body_of_8_mb_is_read(client: FlaskClient) -> None:
    body = b'{"name":"a"}'.ljust(8 * 1024 * 1024)
    created(client.post("/sites", data=body, content_type="application/json"))


BAD_SITES: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "/name"), ({"name": "  "}, "/name"), ({"name": "x" * 201}, "/name"), ({"name": "a\0b"}, "/name"),
    ({"name": 1}, "/name"), ({"name": None}, "/name"), ({"name": ["a"]}, "/name"), ({"domain": "x" * 254}, "/domain"),
    ({"url": "x" * 2001}, "/url"), ({"description": "x" * 10_001}, "/description"), ({"url": None}, "/url"),
    ({"description": "\0"}, "/description"), ({"record_capacity": 0}, "/record_capacity"),
    ({"record_capacity": 4}, "/record_capacity"), ({"record_capacity": True}, "/record_capacity"),
    ({"record_capacity": "2"}, "/record_capacity"), ({"record_capacity": 1.5}, "/record_capacity"),
    ({"record_capacity": None}, "/record_capacity"), ({"record_capicity": 4}, "/record_capicity"),
    ({"id": 7}, "/id"), ({"a/b~c": 1}, "/a~1b~0c"), ({"": 1}, "/"), ({"created_at": "x"}, "/created_at"),
]


def test_a_bad_field_of_a_site_is_named(client: FlaskClient, subtests: pytest.Subtests) -> None:
    for fields, pointer in BAD_SITES:
        with subtests.test(fields=str(fields)[:60]):
            assert pointers(client.post("/sites", json={"name": "a", **fields})) == [pointer]
            assert pointers(client.post("/sites", json=[{"name": "a"}, {"name": "a", **fields}])) == [f"/1{pointer}"]
    assert client.get("/sites").json == []


BAD_USER_RECORDS: list[tuple[dict[str, Any], str]] = [
    ({"site": 2}, "/site"), ({"site": "1"}, "/site"), ({"site": 0}, "/site"), ({"site": 2**63 - 1}, "/site"),
    ({"site": None}, "/site"), ({"email": "x"}, "/email"), ({"email": "@" * 255}, "/email"),
    ({"phone": "x" * 41}, "/phone"), ({"pincode": "x" * 21}, "/pincode"), ({"is_active": 1}, "/is_active"),
    ({"is_active": "true"}, "/is_active"), ({"is_active": None}, "/is_active"), ({"dob": "1990-02-30"}, "/dob"),
    ({"dob": "19900228"}, "/dob"), ({"dob": "1990-02-28T00:00:00"}, "/dob"), ({"dob": 5}, "/dob"),
    ({"dob": ""}, "/dob"), ({"dob": "１９９０-02-28"}, "/dob"),  # noqa: RUF001 - digits that are not ASCII
    ({"city": "\0"}, "/city"),
]


def test_a_bad_field_of_a_user_record_is_named(client: FlaskClient, subtests: pytest.Subtests) -> None:
    add_user(client)
    for fields, pointer in BAD_USER_RECORDS:
        with subtests.test(fields=str(fields)[:60]):
            assert pointers(client.post("/user-records", json={"site": 1, "name": "a", **fields})) == [pointer]
            assert pointers(client.patch("/user-records/1", json=fields)) == [pointer]


BAD_JOBS: list[tuple[dict[str, Any], str]] = [
    ({"user": 2}, "/user"), ({"user": "1"}, "/user"), ({"user": True}, "/user"), ({"user": 1.5}, "/user"),
    ({"user": None}, "/user"), ({"site": 2}, "/site"), ({"site": -1}, "/site"),
    ({"execution_time": 0}, "/execution_time"), ({"execution_time": -1}, "/execution_time"),
    ({"execution_time": 10.0001}, "/execution_time"),
    ({"execution_time": 1e308}, "/execution_time"), ({"execution_time": "1"}, "/execution_time"),
    ({"execution_time": True}, "/execution_time"), ({"execution_time": None}, "/execution_time"),
    ({"execution_time": [1]}, "/execution_time"), ({"execution_time": 1e-400}, "/execution_time"),
    ({"execution_time": 1e-320}, "/execution_time"), ({"execution_time": 5e-324}, "/execution_time"),
    ({"execution_time": 9.99e-7}, "/execution_time"),
    ({"task": "nonsense"}, "/task"), ({"task": ""}, "/task"), ({"task": None}, "/task"), ({"task": "x" * 101}, "/task"),
    ({"task": "a\0"}, "/task"), ({"payload": []}, "/payload"), ({"payload": None}, "/payload"),
    ({"payload": "{}"}, "/payload"), ({"payload": {"a": "x" * 16_400}}, "/payload"),
    ({"payload": {"a": ["\0"]}}, "/payload"), ({"payload": {"\0": 1}}, "/payload"),
    ({"run_at": "2030-01-01T00:00:00"}, "/run_at"),
    ({"run_at": "2030-01-01"}, "/run_at"), ({"run_at": 1893456000}, "/run_at"), ({"run_at": "1893456000"}, "/run_at"),
    ({"run_at": "soon"}, "/run_at"), ({"run_at": ""}, "/run_at"), ({"run_at": "2030-13-01T00:00:00Z"}, "/run_at"),
    ({"run_at": "0001-01-01T00:00:00+14:00"}, "/run_at"), ({"run_at": "9999-12-31T23:59:59-14:00"}, "/run_at"),
    ({"run_at": "2030-01-01T00:00:00+99:00"}, "/run_at"), ({"status": "completed"}, "/status"),
    ({"attempt": 1}, "/attempt"), ({"id": 1}, "/id"),
]


def test_a_bad_field_of_a_job_is_named(client: FlaskClient, subtests: pytest.Subtests) -> None:
    add_user(client)
    for fields, pointer in BAD_JOBS:
        with subtests.test(fields=str(fields)[:60]):
            assert pointers(client.post("/jobs", json={**JOB, **fields})) == [pointer]
            assert pointers(client.post("/jobs", json=[JOB, {**JOB, **fields}])) == [f"/1{pointer}"]
    assert client.get("/jobs").json == []


def test_a_payload_of_16_kb_is_taken(client: FlaskClient) -> None:
    add_user(client)
    payload = {"a": "x" * (16_384 - len('{"a":""}'))}
    assert created(client.post("/jobs", json={**JOB, "payload": payload}))["payload"] == payload
    longer = {"a": payload["a"] + "x"}
    assert pointers(client.post("/jobs", json={**JOB, "payload": longer})) == ["/payload"]


def test_a_payload_may_speak_of_nul(client: FlaskClient) -> None:
    add_user(client)
    payload = {"a": "\\u0000"}  # six characters, none of them NUL
    assert created(client.post("/jobs", json={**JOB, "payload": payload}))["payload"] == payload


#: Names of fields that look like the index of a list, or like a number that Python can not read.
NUMBER_LIKE = ["\u00b2", "\u2460", "\u0663", "\U0001d7d7", "0", "1", "007", "-1", "1_0", "1e5", "9" * 5_000, " 1", ""]


@pytest.mark.parametrize("name", NUMBER_LIKE, ids=range(len(NUMBER_LIKE)))
def test_a_field_may_be_named_like_a_number(client: FlaskClient, name: str) -> None:
    add_user(client)
    at = f"/{name}"
    for path, item, method in (("/sites", {"name": "a"}, "PUT"), ("/user-records", {"name": "a", "site": 1}, "PATCH"),
                               ("/jobs", JOB, "PATCH")):
        odd = {**item, name: 1}
        assert pointers(client.post(path, json=odd)) == [at]
        assert pointers(client.post(path, json=[item, odd])) == [f"/1{at}"]
        assert pointers(client.post(path, data=odd)) == [at]
        if path != "/jobs":
            assert pointers(client.open(f"{path}/1", method=method, json=odd)) == [at]
            assert pointers(client.post(f"{path}/1", data={**odd, "_method": method})) == [at]


def test_faults_of_a_list_come_in_its_order(client: FlaskClient) -> None:
    add_user(client)
    jobs = [{**JOB, "user": 9}, {"\u00b2": 1}, {**JOB, "site": 9}, *[JOB] * 8, {**JOB, "execution_time": 0}]
    assert pointers(client.post("/jobs", json=jobs)) == [
        "/0/user", "/1/user", "/1/site", "/1/\u00b2", "/2/site", "/11/execution_time"]


@pytest.mark.parametrize("name", [
    "\u200b", "\u2060\ufeff", "\u200e\u202e", "\u00ad", "\u3164", "\u115f\u1160", "\uffa0", "\u2800 \u2800", "\u034f",
    "\ufe0f", "\U000e0041", "\u180e", "\u0301", "\u00a0\u3000", "\u2028", "\x7f", "\x1b", "\U0001d159",
], ids=ascii)
def test_a_name_that_shows_nothing_is_blank(client: FlaskClient, name: str) -> None:
    site = add_site(client)
    assert pointers(client.post("/sites", json={"name": name})) == ["/name"]
    assert pointers(client.post("/sites", data={"name": name})) == ["/name"]
    assert pointers(client.patch(f"/sites/{site}", json={"name": name})) == ["/name"]
    assert pointers(client.post("/user-records", json={"site": site, "name": name})) == ["/name"]


@pytest.mark.parametrize("name", [
    "e\u0301", "\u0646\u200c\u0627", "\U0001f469\u200d\U0001f680", "\u2603\ufe0f", "-", "\u1ff7",
], ids=ascii)
def test_a_name_that_shows_something_is_kept_as_it_is(client: FlaskClient, name: str) -> None:
    assert created(client.post("/sites", json={"name": name}))["name"] == name


@pytest.mark.parametrize("body", ["[]", '[{"name":"a"}]', "null", "1"])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_one_item_is_changed_by_one_object(client: FlaskClient, method: str, body: str) -> None:
    add_user(client)
    response = client.open("/sites/1", method=method, data=body, content_type="application/json")
    assert pointers(response) == [""]


@pytest.mark.parametrize(("path", "method", "allowed"), [
    ("/sites", "DELETE", {"GET", "HEAD", "OPTIONS", "POST"}), ("/jobs", "PUT", {"GET", "HEAD", "OPTIONS", "POST"}),
    ("/jobs/1/cancel", "GET", {"OPTIONS", "POST"}), ("/healthz", "POST", {"GET", "HEAD", "OPTIONS"}),
    ("/", "POST", {"GET", "HEAD", "OPTIONS"}), ("/sites", "BREW", {"GET", "HEAD", "OPTIONS", "POST"}),
    ("/sites/1", "POST", {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"}),
])
def test_a_method_that_is_not_there_names_those_that_are(
    client: FlaskClient, path: str, method: str, allowed: set[str]
) -> None:
    response = client.open(path, method=method, json={})
    problem(response, 405)
    assert set(response.headers["Allow"].split(", ")) == allowed


def test_other_paths_are_not_found(client: FlaskClient) -> None:
    for path in ("/nowhere", "/sites/1/2", "/jobs/1/start", "/website/x", "/websites", "/website/website",
                 "/static/nothing.js", "/static/../app.py", "/\xff"):
        problem(client.get("/", environ_overrides={"PATH_INFO": path}), 404)


def test_an_unexpected_error_tells_nothing(client: FlaskClient, monkeypatch: pytest.MonkeyPatch,
                                           caplog: pytest.LogCaptureFixture) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("jobsched.web.http.paging.fetch", break_down)
    response = client.get("/sites")
    problem(response, 500)
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    assert "a secret" in caplog.text


def test_a_huge_number_in_a_list_is_refused_whole(client: FlaskClient) -> None:
    body = json.dumps([{"name": "a"}, {"name": "b", "record_capacity": 2**63}])
    assert pointers(client.post("/sites", data=body, content_type="application/json"), 400) == [""]
