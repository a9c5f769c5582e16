"""Lists: order, pages, filters."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from jobsched.domain import Status
from tests.integration.requests import add_job, add_site, add_user, created, pointers, set_status


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]


def next_of(link: str | None) -> str | None:
    found = re.fullmatch(r'<(.+)>; rel="next"', link or "")
    return found.group(1) if found else None


@pytest.mark.parametrize("prefix", ["", "/website"])
def test_pages_hold_every_row_once_newest_first_while_rows_come_in(client: FlaskClient, prefix: str) -> None:
    sites = ids(created(client.post("/sites", json=[{"name": str(i)} for i in range(7)])))
    seen: list[int] = []
    address: str | None = f"{prefix}/sites?limit=3"
    while address:
        response = client.get(address)
        seen += ids(response.json)
        address = next_of(response.headers.get("Link"))
        assert address is None or address.startswith(f"{prefix}/sites?")
        add_site(client)
    assert seen == sites[::-1]


def test_the_last_page_has_no_next(client: FlaskClient) -> None:
    created(client.post("/sites", json=[{"name": str(i)} for i in range(3)]))
    assert "Link" not in client.get("/sites?limit=3").headers
    assert "Link" in client.get("/sites?limit=2").headers


def test_a_page_holds_50_unless_told(client: FlaskClient) -> None:
    created(client.post("/sites", json=[{"name": str(i)} for i in range(60)]))
    assert len(client.get("/sites").json) == 50
    assert len(client.get("/sites?limit=500").json) == 60
    assert len(client.get("/sites?limit=").json) == 50


def test_jobs_are_filtered(client: FlaskClient) -> None:
    ann, bob = add_user(client), add_user(client)
    first = add_job(client, user=ann, site=1, execution_time=5)["id"]
    second = add_job(client, user=bob, site=1, execution_time=0.5)["id"]
    third = add_job(client, user=bob, site=2, execution_time=0.5)["id"]
    set_status(client, third, Status.FAILED)
    for query, expected in {
        "": [third, second, first], "?site=1": [second, first], f"?user={bob}": [third, second],
        "?status=failed": [third], "?status=running": [], "?band=10s": [first], "?band=task_05": [first],
        "?site=1&user=2&status=pending&band=1s": [second], "?site=99": [], "?status=&site=1": [second, first],
    }.items():
        assert ids(client.get(f"/jobs{query}").json) == expected, query


def test_the_next_page_keeps_the_filters(client: FlaskClient) -> None:
    add_user(client)
    for execution_time in (5, 0.5) * 3:
        add_job(client, execution_time=execution_time)
    first = client.get("/jobs?band=10s&limit=2")
    address = next_of(first.headers.get("Link"))
    assert address is not None
    assert ids(first.json + client.get(address).json) == [5, 3, 1]


def test_user_records_are_filtered_by_site(client: FlaskClient) -> None:
    add_user(client)
    second = add_user(client)
    assert ids(client.get("/user-records?site=2").json) == [second]


BAD_QUERIES = [
    ("limit=0", "?limit"), ("limit=501", "?limit"), ("limit=x", "?limit"), ("limit=" + "9" * 5000, "?limit"),
    ("cursor=x", "?cursor"), ("cursor=PDE=", "?cursor"), ("cursor=PC0x", "?cursor"),
    ("cursor=" + "A" * 5000, "?cursor"), ("cursor=%00", "?cursor"), ("cursor=%ff", "?cursor"),
    ("site=x", "?site"), ("site=0", "?site"),
    ("user=-1", "?user"), ("site=9223372036854775808", "?site"), ("status=done", "?status"), ("band=2ms", "?band"),
    ("band=%00", "?band"), ("stauts=failed", "?stauts"), ("site=1&site=2", "?site"),
]


def test_a_bad_query_is_refused(client: FlaskClient, subtests: pytest.Subtests) -> None:
    for query, pointer in BAD_QUERIES:
        with subtests.test(query=query[:40]):
            assert pointers(client.get(f"/jobs?{query}")) == [pointer]
