"""Why a job waits, over HTTP, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from jobsched.config import Settings
from jobsched.domain import Status
from jobsched.ledger.database import writing
from jobsched.ledger.models import Job
from tests.integration.conftest import MakeClient
from tests.integration.requests import BROWSER, ON_SQLITE, add_job, add_site, add_user, board_of, problem, set_status


@pytest.fixture(autouse=True)
def user(client: FlaskClient, redis: Redis) -> int:
    """User 1 of site 1, a dispatcher, and a worker for the 1 s lane."""
    redis.sadd(WORKERS_BY_QUEUE_KEY % "band-1s", "rq:worker:ours")
    redis.hset("rq:worker:ours", "birth", "now")
    board_of(client).presence.beat("dispatcher", "ours", 60)
    return add_user(client)


def why(client: FlaskClient, job: int) -> dict[str, Any]:
    """The answer."""
    response = client.get(f"/jobs/{job}/why")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json or {}
    return found


def codes(client: FlaskClient, job: int) -> list[str]:
    return [reason["code"] for reason in why(client, job)["reasons"]]


def moment(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00"))


def test_a_job_that_waits_is_told_where_it_stands_and_when_it_will_start(client: FlaskClient) -> None:
    first, second = (add_job(client)["id"] for _ in range(2))

    found = why(client, second)

    assert (found["job"], found["status"], found["lane"]) == (second, "pending", "1s")
    assert (found["line"], found["lane_order"]) == ({"place": 2, "of": 2}, {"place": 1, "of": 1})
    score = found["score"]
    assert (score["policy"], score["points"]) == ("balanced", 6)  # 2 jobs of 2, a user of 1, a capacity of 1
    assert score["total"] == pytest.approx(score["boost"] + score["share"] + score["age"] + score["size"])
    assert score["boost"] > 0
    assert codes(client, first) == ["next"]
    assert codes(client, second) == ["line"]
    told = found["expected"]
    assert moment(found["at"]) < moment(told["p50"]) <= moment(told["p90"])
    assert moment(told["p90"]) - moment(found["at"]) == timedelta(seconds=told["p90_s"])
    assert found["links"] == {"job": f"/jobs/{second}"}


def test_the_limits_of_its_site_and_the_pause_of_its_lane_are_all_told(client: FlaskClient) -> None:
    add_job(client)
    id_ = add_job(client)["id"]
    board_of(client).take("task_04", 1, budget_s=0.0, lease_s=60.0)
    client.patch("/sites/1", json={"max_running": 1, "paused": True})
    client.post("/lanes/1s/pause")

    found = why(client, id_)

    assert [reason["code"] for reason in found["reasons"]] == ["site_paused", "lane_paused", "max_running",
                                                               "workers_busy"]
    assert found["lane_order"] is None
    assert found["expected"] is None


def test_a_rate_is_told_with_the_moment_that_it_lets_go(client: FlaskClient) -> None:
    client.patch("/sites/1", json={"rate_per_s": 0.01})
    add_job(client)
    id_ = add_job(client)["id"]
    board_of(client).take("task_04", 1, budget_s=0.0, lease_s=60.0)

    found = why(client, id_)
    [reason] = [reason for reason in found["reasons"] if reason["code"] == "rate"]

    assert timedelta(seconds=90) < moment(reason["until"]) - moment(found["at"]) <= timedelta(seconds=100)
    assert found["expected"]["p50"] >= reason["until"]


def test_without_a_worker_or_a_dispatcher_nothing_is_expected(client: FlaskClient, redis: Redis) -> None:
    id_ = add_job(client)["id"]
    redis.delete("rq:worker:ours")  # it died: its hash has run out, its name is still in the queue's set
    board_of(client).presence.leave("dispatcher", "ours")

    assert codes(client, id_) == ["no_worker", "no_dispatcher"]
    assert why(client, id_)["expected"] is None


def test_a_job_in_a_workers_queue_is_told_so(client: FlaskClient) -> None:
    id_ = add_job(client)["id"]
    [slice_] = board_of(client).take("task_04", 1, budget_s=0.0, lease_s=60.0)

    queued = why(client, id_)
    board_of(client).renew(slice_.id, 60.0)

    assert [reason["code"] for reason in queued["reasons"]] == ["in_queue"]
    assert queued["expected"]["p90_s"] > 0
    assert (queued["line"], queued["score"]) == (None, None)
    assert codes(client, id_) == ["starting"]
    assert why(client, id_)["expected"] is None


def test_a_scheduled_job_is_expected_after_its_time(client: FlaskClient) -> None:
    at = datetime.now(timezone.utc) + timedelta(days=1)
    id_ = add_job(client, run_at=at.isoformat())["id"]

    found = why(client, id_)

    assert [reason["code"] for reason in found["reasons"]] == ["scheduled"]
    assert moment(found["reasons"][0]["until"]) == at
    assert at < moment(found["expected"]["p50"]) <= moment(found["expected"]["p90"]) < at + timedelta(minutes=1)


def test_a_retry_that_backs_off_names_the_start_that_failed(client: FlaskClient) -> None:
    id_ = add_job(client)["id"]
    board_of(client).drop([id_])
    set_status(client, id_, Status.SCHEDULED, attempt=1, run_at=datetime.now(timezone.utc) + timedelta(seconds=90))

    [reason] = why(client, id_)["reasons"]

    assert reason["code"] == "retry"
    assert reason["text"].startswith("Start 1 of at most 3 failed")


def test_a_job_that_the_board_does_not_know_waits_for_the_sweep(client: FlaskClient) -> None:
    id_ = add_job(client)["id"]
    board_of(client).drop([id_])

    assert codes(client, id_) == ["not_on_board"]
    assert why(client, id_)["expected"]["p90_s"] > 0


@pytest.mark.parametrize(("status", "code"), [
    (Status.RUNNING, "running"), (Status.COMPLETED, "completed"), (Status.FAILED, "failed"),
    (Status.CANCELLED, "cancelled"),
])
def test_a_job_that_has_started_or_ended_says_so(client: FlaskClient, status: Status, code: str) -> None:
    id_ = add_job(client)["id"]
    now = datetime.now(timezone.utc)
    set_status(client, id_, status, started_at=now, finished_at=None if status is Status.RUNNING else now)

    found = why(client, id_)

    assert [reason["code"] for reason in found["reasons"]] == [code]
    assert (found["expected"], found["line"], found["score"]) == (None, None, None)


def test_only_an_unknown_job_is_not_found(client: FlaskClient) -> None:
    assert "no job 99" in problem(client.get("/jobs/99/why"), 404)["detail"]


def test_a_lost_board_is_told(client: FlaskClient) -> None:
    id_ = add_job(client)["id"]
    client.patch("/sites/1", json={"paused": True})
    board_of(client).wipe()

    assert codes(client, id_) == ["board_lost", "site_paused"]
    assert why(client, id_)["expected"] is None


def test_without_redis_sql_tells_what_it_knows(make_client: MakeClient, client: FlaskClient,
                                               settings: Settings) -> None:
    id_ = add_job(client)["id"]
    client.post("/lanes/1s/pause")
    alone = make_client(replace(settings, redis_url="redis://127.0.0.1:1/0"))

    assert codes(alone, id_) == ["redis_away", "lane_paused"]
    assert why(alone, id_)["expected"] is None
    assert alone.get(f"/jobs/{id_}", headers=BROWSER).status_code == 200


def test_a_job_of_a_band_that_is_no_more_still_gets_an_answer(client: FlaskClient) -> None:
    id_ = add_job(client)["id"]
    board_of(client).drop([id_])
    with client.application.app_context(), writing() as session:
        session.get_one(Job, id_).band = "task_99"

    found = why(client, id_)

    assert found["lane"] == "task_99"
    assert [reason["code"] for reason in found["reasons"]] == ["no_worker", "not_on_board"]


@ON_SQLITE
def test_the_page_of_a_job_that_waits_says_why(client: FlaskClient) -> None:
    add_job(client)
    id_ = add_job(client)["id"]
    site = add_site(client, name="Other")
    add_job(client, site=site)

    page = client.get(f"/jobs/{id_}", headers=BROWSER).text

    assert "Why it waits" in page
    assert "1 job of its site goes first." in page
    assert "Expected start" in page
    response = client.get(f"/jobs/{id_}/why", headers=BROWSER)
    assert (response.status_code, response.headers["Location"]) == (303, f"/jobs/{id_}")
    set_status(client, id_, Status.COMPLETED)
    assert "Why it waits" not in client.get(f"/jobs/{id_}", headers=BROWSER).text
