"""The OpenAPI document is valid, complete, and matches the real answers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from jobsched.domain import Status
from tests.integration.requests import ON_SQLITE, add_job, add_site, add_user, set_status

pytestmark = ON_SQLITE


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    found = client.get("/openapi.json").json
    assert isinstance(found, dict)
    return found


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_address_is_described(client: FlaskClient, document: dict[str, Any]) -> None:
    registered = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in client.application.url_map.iter_rules() if rule.endpoint != "static"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert described == registered
    index = {(line["path"], method.lower()) for line in client.get("/").json for method in line["methods"]}
    assert index == registered


def test_each_operation_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("path", "address"), [
    ("/", "/"), ("/sites", "/sites"), ("/sites/{id}", "/sites/1"), ("/user-records", "/user-records"),
    ("/user-records/{id}", "/user-records/1"), ("/jobs", "/jobs"), ("/jobs/{id}", "/jobs/1"), ("/healthz", "/healthz"),
    ("/readyz", "/readyz"), ("/jobs/{id}/why", "/jobs/1/why"), ("/lanes", "/lanes"), ("/policy", "/policy"),
])
def test_answers_are_as_described(client: FlaskClient, document: dict[str, Any], path: str, address: str) -> None:
    add_job(client, user=add_user(client, email="a@b.example", dob="1990-01-01"), payload={"a": 1})
    response = client.get(address)
    described = document["paths"][path]["get"]["responses"][str(response.status_code)]
    check(document, described["content"]["application/json"]["schema"], response.json)


def test_a_site_with_estimates_is_as_described(client: FlaskClient, document: dict[str, Any]) -> None:
    job = add_job(client, user=add_user(client))
    set_status(client, job["id"], Status.COMPLETED, run_time=0.4)
    response = client.get("/sites/1")
    assert response.json["estimates"][0]["estimate_s"] == 0.4
    check(document, {"$ref": "#/components/schemas/SiteDetail"}, response.json)


def test_problems_are_as_described(client: FlaskClient, document: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/ProblemOut"}
    for response in (client.get("/nowhere"), client.post("/sites", json={}), client.put("/jobs"),
                     client.post("/sites", data="{", content_type="application/json")):
        check(document, schema, response.json)


def test_what_is_described_as_a_body_is_taken(client: FlaskClient, document: dict[str, Any]) -> None:
    schema = document["paths"]["/sites"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    for body in ({"name": "a", "record_capicity": 2}, [{"name": "a"}]):
        check(document, schema, body)
        assert client.post("/sites", json=body).status_code == 201
    validator = Draft202012Validator({**schema, "components": document["components"]})
    for body in ({}, [], {"name": ""}, {"name": "a", "x": 1}, {"name": "a", "record_capacity": 4}):
        assert not validator.is_valid(body)
        assert client.post("/sites", json=body).status_code == 422


def test_a_patch_requires_no_field(client: FlaskClient, document: dict[str, Any]) -> None:
    add_site(client)
    schema = document["paths"]["/sites/{id}"]["patch"]["requestBody"]["content"]["application/json"]["schema"]
    check(document, schema, {})
    assert client.patch("/sites/1", json={}).status_code == 200


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    whole = {**schema, "components": document["components"]}
    assert [error.message for error in Draft202012Validator(whole).iter_errors(value)] == []
