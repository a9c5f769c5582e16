"""``/metrics``, as Prometheus reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from jobsched.base import aside
from jobsched.config import Settings
from jobsched.domain import Status
from tests.integration.conftest import MakeClient
from tests.integration.requests import ON_SQLITE, add_job, add_site, add_user, board_of, set_status
from tests.support import create_tables

OF_REDIS = {"jobsched_workers_alive", "jobsched_dispatchers_alive", "jobsched_schedulers_alive"}
OF_THE_BOARD = {
    "jobsched_backlog_worker_seconds", "jobsched_held_worker_seconds", "jobsched_waiting_jobs", "jobsched_flying_jobs",
    "jobsched_lane_paused", "jobsched_arrivals_per_second", "jobsched_load", "jobsched_workers_wanted",
}
OF_SQL = {"jobsched_oldest_wait_seconds"}
UP = {"jobsched_redis_up", "jobsched_board_up", "jobsched_database_up"}


def scrape(client: FlaskClient) -> dict[tuple[str, str | None], float]:
    """Every sample by its name and its lane."""
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    return {(sample.name, sample.labels.get("lane")): sample.value
            for family in text_string_to_metric_families(response.text) for sample in family.samples}


def names(client: FlaskClient) -> set[str]:
    return {name for name, _ in scrape(client)}


def test_lanes_are_told_by_the_names_of_their_bounds(client: FlaskClient) -> None:
    user = add_user(client)
    ids = [add_job(client, user=user, execution_time=seconds)["id"] for seconds in (0.5, 0.75, 4.0)]
    board = board_of(client)
    board.take("task_04", 1, budget_s=0.1, lease_s=60)
    board.rules.pause_lanes(["task_05"])
    set_status(client, ids[0], Status.RUNNING)

    found = scrape(client)

    assert names(client) == OF_REDIS | OF_THE_BOARD | OF_SQL | UP
    waits = {lane: found["jobsched_waiting_jobs", lane] for lane in ("1ms", "10ms", "100ms", "1s", "10s")}
    assert waits == {"1ms": 0, "10ms": 0, "100ms": 0, "1s": 1, "10s": 1}
    assert (found["jobsched_backlog_worker_seconds", "1s"], found["jobsched_flying_jobs", "1s"]) == (0.75, 1)
    assert found["jobsched_backlog_worker_seconds", "10s"] == 4.0
    assert (found["jobsched_lane_paused", "10s"], found["jobsched_lane_paused", "1s"]) == (1, 0)
    assert found["jobsched_arrivals_per_second", "1s"] > found["jobsched_arrivals_per_second", "10s"] > 0
    assert found["jobsched_oldest_wait_seconds", "10s"] > 0 == found["jobsched_oldest_wait_seconds", "1ms"]


@ON_SQLITE
def test_the_living_are_counted(client: FlaskClient) -> None:
    board = board_of(client)
    for kind, name in (("worker", "w-1"), ("worker", "w-2"), ("dispatcher", "d-1")):
        board.presence.beat(kind, name, 60)

    found = scrape(client)

    assert (found["jobsched_workers_alive", None], found["jobsched_dispatchers_alive", None]) == (2, 1)


@ON_SQLITE
def test_workers_are_wanted_for_what_comes_and_what_waits(client: FlaskClient) -> None:
    assert scrape(client)["jobsched_workers_wanted", None] == 1
    user = add_user(client)
    client.post("/jobs", json=[{"user": user, "site": 1, "execution_time": 5.0}] * 80)

    # 80 jobs of 5 s in what counts as 10 s: a load of 40, and 400 s wait: 4 a second. 44 / 0.95 = 46.3, and one clear
    assert scrape(client)["jobsched_workers_wanted", None] == pytest.approx(48, abs=2)


@ON_SQLITE
def test_without_redis_what_needs_it_is_absent(make_client: MakeClient, settings: Settings, tmp_path: Path) -> None:
    client = make_client(replace(settings, redis_url=f"unix://{tmp_path / 'nobody.sock'}"))
    with client.application.app_context():
        create_tables()

    found = scrape(client)

    assert {name for name, _ in found} == OF_SQL | UP
    assert [found[f"jobsched_{name}_up", None] for name in ("redis", "board", "database")] == [0, 0, 1]


@ON_SQLITE
def test_without_a_board_the_living_are_counted_all_the_same(client: FlaskClient) -> None:
    board_of(client).wipe()

    found = scrape(client)

    assert {name for name, _ in found} == OF_REDIS | OF_SQL | UP
    assert [found[f"jobsched_{name}_up", None] for name in ("redis", "board", "database")] == [1, 0, 1]


@ON_SQLITE
def test_without_the_database_the_rest_is_told(
    make_client: MakeClient, settings: Settings, client: FlaskClient
) -> None:
    found = names(make_client(replace(settings, database_url="sqlite:////nowhere/at/all/jobsched.db")))

    assert found == OF_REDIS | OF_THE_BOARD | UP


@ON_SQLITE
def test_who_asks_for_openmetrics_gets_it(client: FlaskClient) -> None:
    response = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})

    assert response.mimetype == "application/openmetrics-text"
    assert {family.name for family in open_metrics(response.text)} >= OF_THE_BOARD


@ON_SQLITE
def test_the_interface_describes_it_as_text(client: FlaskClient) -> None:
    described = client.get("/openapi.json").json["paths"]["/metrics"]["get"]["responses"]["200"]["content"]

    assert list(described) == ["text/plain"]


@ON_SQLITE
def test_no_worker_is_wanted_for_what_may_not_be_served(client: FlaskClient) -> None:
    held, other = add_user(client), add_user(client, add_site(client))
    client.patch("/sites/1", json={"paused": True})
    client.post("/jobs", json=[{"user": held, "site": 1, "execution_time": 10.0}] * 300)
    client.post("/lanes/1s/pause")
    add_job(client, user=other, site=2, execution_time=0.5)

    found = scrape(client)

    assert found["jobsched_workers_wanted", None] == 1
    assert found["jobsched_backlog_worker_seconds", "10s"] == found["jobsched_held_worker_seconds", "10s"] == 3000.0
    assert (found["jobsched_held_worker_seconds", "1s"], found["jobsched_held_worker_seconds", "1ms"]) == (0.5, 0)

    client.patch("/sites/1", json={"paused": False})

    assert scrape(client)["jobsched_held_worker_seconds", "10s"] == 0
    assert scrape(client)["jobsched_workers_wanted", None] == 33  # 30 / 0.95 for the longest lane, and one clear of it


def test_what_was_set_aside_is_counted(client: FlaskClient, redis: Redis) -> None:
    for _ in range(3):
        aside.counted(redis, "a thing", "that was no good")
    redis.hset(aside.COUNTS, mapping={b"\xff": 1, "many": "no number"})

    families = text_string_to_metric_families(client.get("/metrics").text)
    found = {(sample.labels["what"], sample.value) for family in families for sample in family.samples
             if sample.name == "jobsched_set_aside_total"}
    assert found == {("a thing", 3), ("\ufffd", 1)}
