"""Pages and forms for browsers, and what browsers must not do."""

from __future__ import annotations

from itertools import product

import pytest
from flask.testing import FlaskClient

from jobsched.domain import Status
from tests.integration.requests import (
    BROWSER,
    ON_SQLITE,
    add_job,
    add_site,
    add_user,
    created,
    pointers,
    problem,
    set_status,
)

pytestmark = ON_SQLITE

PAGES = ("/", "/sites", "/user-records", "/jobs", "/sites/1", "/user-records/1", "/jobs/1")


@pytest.mark.parametrize("path", PAGES)
def test_the_same_address_serves_pages_and_json(client: FlaskClient, path: str) -> None:
    add_job(client, user=add_user(client))
    for prefix, slash in product(("", "/website"), ("", "/")):
        address = f"{prefix}{path.rstrip('/')}{slash}" or "/"
        page, data = client.get(address, headers=BROWSER), client.get(address)
        assert (page.status_code, page.mimetype) == (200, "text/html")
        assert (data.status_code, data.mimetype) == (200, "application/json")
        assert page.vary.to_header() == data.vary.to_header() == "Accept"


ACCEPTED = [
    (None, "application/json"), ("*/*", "application/json"), ("application/json", "application/json"),
    ("text/html", "text/html"), ("text/*", "text/html"), ("text/html;q=0.5, application/json", "application/json"),
    ("application/json;q=0.5, text/html", "text/html"), ("text/html, application/json", "application/json"),
    ("image/png", "application/json"), ("nonsense;;;q=x", "application/json"), ("", "application/json"),
]


def test_the_accept_header_decides(client: FlaskClient, subtests: pytest.Subtests) -> None:
    for accept, mimetype in ACCEPTED:
        with subtests.test(accept=accept):
            assert client.get("/sites", headers={} if accept is None else {"Accept": accept}).mimetype == mimetype


@pytest.mark.parametrize(("path", "method", "status"), [("/nowhere", "GET", 404), ("/jobs/9", "GET", 404),
                                                         ("/sites", "PUT", 405), ("/jobs?limit=x", "GET", 422)])
def test_problems_are_pages_too(client: FlaskClient, path: str, method: str, status: int) -> None:
    response = client.open(path, method=method, headers=BROWSER)
    assert (response.status_code, response.mimetype) == (status, "text/html")
    assert ("Allow" in response.headers) == (status == 405)


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_has_the_same_fields_as_json(client: FlaskClient, content_type: str) -> None:
    add_user(client)
    job = {"user": "1", "site": "1", "execution_time": "0.25", "payload": '{"a": [1]}', "run_at": "", "task": "sleep"}
    found = created(client.post("/jobs", data=job, content_type=content_type))
    assert (found["user"], found["execution_time"], found["payload"], found["run_at"]) == (1, 0.25, {"a": [1]}, None)
    user = {"site": "1", "name": "Bob", "dob": "", "email": "", "is_active": "false"}
    found = created(client.post("/user-records", data=user, content_type=content_type))
    assert (found["site"], found["dob"], found["email"], found["is_active"]) == (1, None, "", False)


BAD_FORMS = [
    ({"execution_time": ""}, "/execution_time"), ({"execution_time": "nan"}, "/execution_time"),
    ({"execution_time": "inf"}, "/execution_time"), ({"user": "x"}, "/user"), ({"user": "9" * 5000}, "/user"),
    ({"payload": "{"}, "/payload"), ({"payload": "[]"}, "/payload"), ({"payload": '{"a":1,"a":2}'}, "/payload"),
    ({"run_at": "soon"}, "/run_at"), ({"extra": "1"}, "/extra"), ({"task": "a\0"}, "/task"),
]


def test_a_bad_field_of_a_form_is_named(client: FlaskClient, subtests: pytest.Subtests) -> None:
    add_user(client)
    for fields, pointer in BAD_FORMS:
        with subtests.test(fields=str(fields)[:60]):
            form = {"user": "1", "site": "1", "execution_time": "1", **fields}
            assert pointers(client.post("/jobs", data=form)) == [pointer]


def test_every_bad_field_of_a_form_is_named(client: FlaskClient) -> None:
    add_user(client)
    form = {"user": "99", "site": "1", "execution_time": "-1", "payload": "{", "run_at": "soon"}
    assert sorted(pointers(client.post("/jobs", data=form))) == ["/execution_time", "/payload", "/run_at", "/user"]


def test_a_file_is_no_field(client: FlaskClient) -> None:
    sent = {"name": "a", "logo": (__file__, "logo.png")}
    with open(__file__, "rb") as file:  # noqa: PTH123
        found = problem(client.post("/sites", data={**sent, "logo": (file, "logo.png")}), 422)
    assert [error["pointer"] for error in found["errors"]] == ["/logo"]


def test_odd_forms_are_no_server_errors(client: FlaskClient) -> None:
    for body in (b"name=%ED%A0%80", b"name=%ff", b"name=%", b"&&&=&", b"=a", b"name=a&name=b&%00=1"):
        response = client.post("/sites", data=body, content_type="application/x-www-form-urlencoded")
        assert response.status_code in (201, 400, 422)


_URLENCODED = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data; boundary=a"
_NAMELESS = b"--a\r\nContent-Disposition: form-data\r\n\r\nx\r\n--a--\r\n"
_IN_LATIN_1 = b'--a\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xe9\r\n--a--\r\n'


@pytest.mark.parametrize(("content_type", "sent"), [
    (_MULTIPART, b'{"name": "b", "policy": null}'), (_MULTIPART, b"name=b&policy="), (_MULTIPART, b"--a\r\n"),
    (_MULTIPART, _NAMELESS), (_MULTIPART, _IN_LATIN_1), (_MULTIPART, b"--a\r\nContent-Disposition: x\r\n\r\nb"),
    ("multipart/form-data", b"--a--\r\n"), (_URLENCODED, b"name=\xff"), (_URLENCODED, b"name=%ff"),
    (_URLENCODED, b"%ff=a"),
])
@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/sites"), ("PUT", "/sites/1"), ("PATCH", "/sites/1"), ("POST", "/sites/1"), ("PATCH", "/user-records/1"),
    ("PATCH", "/jobs/1"), ("PUT", "/policy"), ("POST", "/policy"),
])
def test_bytes_that_are_no_form_are_not_taken_for_an_empty_one(
    client: FlaskClient, method: str, path: str, content_type: str, sent: bytes
) -> None:
    add_job(client, user=add_user(client))
    client.put("/policy", json={"policy": "fair"})
    before = [client.get(path).json for path in ("/sites", "/user-records/1", "/jobs/1", "/policy")]

    response = client.open(path, method=method, data=sent, content_type=content_type)

    assert pointers(response, 400) == [""]
    assert [client.get(path).json for path in ("/sites", "/user-records/1", "/jobs/1", "/policy")] == before


def test_broken_multipart_forms_are_refused(client: FlaskClient) -> None:
    bodies = (b"x", b"--a\r\n", b'--a\r\nContent-Disposition: form-data; name="name"\r\n\r\nx')
    for body, boundary in product(bodies, ("", "; boundary=a", "; boundary=" + "x" * 300)):
        response = client.post("/sites", data=body, content_type=f"multipart/form-data{boundary}")
        assert response.status_code in (400, 413, 422)


@pytest.mark.parametrize(("path", "fields"), [
    ("/sites", {"name": "Acme"}), ("/user-records", {"site": "1", "name": "Ann"}),
    ("/jobs", {"user": "1", "site": "1", "execution_time": "1"}),
])
@pytest.mark.parametrize("prefix", ["", "/website"])
def test_a_browser_is_led_to_what_its_form_created(
    client: FlaskClient, prefix: str, path: str, fields: dict[str, str]
) -> None:
    add_user(client)
    response = client.post(f"{prefix}{path}", data=fields, headers=BROWSER)
    assert response.status_code == 303
    newest = client.get(path).json[0]["links"]["self"]
    assert response.headers["Location"] == f"{prefix}{newest}"


@pytest.mark.parametrize("path", ["/sites", "/sites/1"])
def test_a_faulty_form_comes_back_with_what_was_typed(client: FlaskClient, path: str) -> None:
    add_site(client)
    fields = {"name": "", "domain": "<b>typed</b>", "_method": "PUT"}
    response = client.post(path, data=fields, headers=BROWSER)
    assert (response.status_code, response.mimetype) == (422, "text/html")
    assert "&lt;b&gt;typed&lt;/b&gt;" in response.text
    assert "must not be empty" in response.text
    assert client.get("/sites/1").json["name"] == "Acme"


def test_forms_change_and_delete_by_the_field_method(client: FlaskClient) -> None:
    add_site(client, domain="acme.example")
    patched = client.post("/sites/1", data={"_method": "PATCH", "name": "Emca"}, headers=BROWSER)
    assert (patched.status_code, patched.headers["Location"]) == (303, "/sites/1")
    assert (client.get("/sites/1").json["name"], client.get("/sites/1").json["domain"]) == ("Emca", "acme.example")
    assert client.post("/sites/1", data={"_method": "put", "name": "Acme"}).json["domain"] == ""
    deleted = client.post("/website/sites/1", data={"_method": "DELETE"}, headers=BROWSER)
    assert (deleted.status_code, deleted.headers["Location"]) == (303, "/website/sites")
    problem(client.get("/sites/1"), 404)


def test_a_form_clears_what_it_leaves_empty(client: FlaskClient) -> None:
    add_user(client, dob="1990-01-01", city="X")
    add_job(client, run_at="2090-01-01T00:00:00Z", payload={"a": 1})
    user = client.post("/user-records/1", data={"_method": "PATCH", "dob": "", "city": ""}).json
    assert (user["dob"], user["city"], user["name"]) == (None, "", "Ann")
    job = client.post("/jobs/1", data={"_method": "PATCH", "run_at": ""}).json
    assert (job["run_at"], job["status"], job["payload"]) == (None, "pending", {"a": 1})


@pytest.mark.parametrize("method", ["", "GET", "POST", "BREW", "\0"])
def test_other_methods_can_not_be_asked_for_by_a_field(client: FlaskClient, method: str) -> None:
    add_site(client)
    problem(client.post("/sites/1", data={"_method": method, "name": "x"}), 405)


def test_buttons_cancel_and_retry_a_job(client: FlaskClient) -> None:
    add_job(client, user=add_user(client))
    for move, status in (("cancel", "cancelled"), ("retry", "pending")):
        response = client.post(f"/jobs/1/{move}", data={}, headers=BROWSER)
        assert (response.status_code, response.headers["Location"]) == (303, "/jobs/1")
        assert client.get("/jobs/1").json["status"] == status
    set_status(client, 1, Status.RUNNING)
    assert client.post("/jobs/1/cancel", headers=BROWSER).status_code == 409


ORIGINS = [
    ({}, 201),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, 201),
    ({"Sec-Fetch-Site": "none"}, 201),
    ({"Origin": "http://localhost"}, 201),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}, 403),
    ({"Sec-Fetch-Site": "nonsense"}, 403),
    ({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Origin": "http://["}, 403),
    ({"Origin": "http://localhost.evil.example"}, 403), ({"Origin": ""}, 403),
]


def test_pages_of_other_origins_change_nothing(client: FlaskClient, subtests: pytest.Subtests) -> None:
    for headers, status in ORIGINS:
        with subtests.test(**headers):
            assert client.post("/sites", data={"name": "a"}, headers=headers).status_code == status
            assert client.get("/sites", headers=headers).status_code == 200


HOSTS = [
    ("localhost", 200), ("localhost:8000", 200), ("127.0.0.1:8000", 200), ("[::1]:8000", 200), ("LOCALHOST", 200),
    ("evil.example", 421), ("evil.example:8000", 421), ("localhost.evil.example", 421), ("127.0.0.1.evil.example", 421),
]


def test_names_that_are_not_this_machines_are_refused(client: FlaskClient, subtests: pytest.Subtests) -> None:
    for (host, status), accept in product(HOSTS, ({}, BROWSER)):
        with subtests.test(host=host):
            assert client.get("/sites", headers={**accept, "Host": host}).status_code == status


def test_nonsense_for_a_host_is_no_server_error(client: FlaskClient) -> None:
    hosts = ("[", "[::1", "a b", "\x7f", "@", "localhost:x", "localhost:99999999")
    for host, accept in product(hosts, ({}, BROWSER)):
        assert client.get("/sites", headers={**accept, "Host": host}).status_code in (400, 421)


@pytest.mark.parametrize(("path", "headers"), [
    ("/", {}), ("/", BROWSER), ("/sites", {}), ("/sites", BROWSER), ("/nowhere", {}), ("/nowhere", BROWSER),
    ("/openapi.json", {}), ("/healthz", {}), ("/static/jobsched.css", {}), ("/sites", {"Host": "evil.example"}),
])
def test_every_answer_is_hardened(client: FlaskClient, path: str, headers: dict[str, str]) -> None:
    with client.get(path, headers=headers) as response:
        got = response.headers
    assert got["X-Content-Type-Options"] == "nosniff"
    assert got["Referrer-Policy"] == "same-origin"
    assert "default-src 'self'" in got["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in got["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/sites", "/sites/1", "/", "/openapi.json"])
def test_head_and_options_are_answered(client: FlaskClient, path: str) -> None:
    add_site(client)
    head = client.head(path)
    assert (head.status_code, head.data) == (200, b"")
    assert "GET" in client.options(path).headers["Allow"]
