"""What the dashboard shows is what SQL, the board and RQ hold; without Redis it shows what SQL knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from redis import Redis
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from jobsched.base import aside
from jobsched.base.connections import connect
from jobsched.board import Ranked
from jobsched.config import Settings
from jobsched.domain import Status
from jobsched.ledger.database import reading
from jobsched.ledger.models import utcnow
from jobsched.policy import POLICIES
from jobsched.queues.registered_workers import workers
from jobsched.web.pages import snapshot
from jobsched.web.pages.ranking import relative
from jobsched.web.pages.snapshot import Snapshot
from jobsched.web.pages.throttled import Throttled
from tests.integration.conftest import MakeClient
from tests.integration.requests import BROWSER, ON_SQLITE, add_job, add_site, add_user, board_of, set_status
from tests.support import create_tables


def _taken(client: FlaskClient, settings: Settings, redis: Redis, **later: float) -> Snapshot:
    now = utcnow() + timedelta(**later)
    with client.application.app_context(), reading() as session:
        return snapshot.take(session, board_of(client), redis, settings, now, Throttled())


def test_a_snapshot_counts_jobs_by_status_and_lane(client: FlaskClient, settings: Settings, redis: Redis) -> None:
    add_user(client)
    jobs = [add_job(client, execution_time=seconds)["id"] for seconds in (0.005, 0.005, 5, 5, 5)]
    add_job(client, run_at="2999-01-01T00:00:00Z")
    set_status(client, jobs[4], Status.RUNNING)
    taken = _taken(client, settings, redis, seconds=60)

    assert taken.counts == {Status.SCHEDULED: 1, Status.PENDING: 4, Status.RUNNING: 1, Status.COMPLETED: 0,
                            Status.FAILED: 0, Status.CANCELLED: 0}
    lanes = {lane.band.label: lane for lane in taken.lanes}
    assert [(name, lane.on_board and lane.on_board.waiting, lane.running) for name, lane in lanes.items()] == [
        ("1ms", 0, 0), ("10ms", 2, 0), ("100ms", 0, 0), ("1s", 0, 0), ("10s", 3, 1)]
    oldest = lanes["10s"].oldest_wait_s
    assert oldest is not None
    assert 60 <= oldest < 90
    assert lanes["1ms"].oldest_wait_s is None
    assert taken.redis.note is None


def test_a_snapshot_shows_what_waits_in_an_rq_queue(client: FlaskClient, settings: Settings, redis: Redis) -> None:
    Queue("band-10s", connection=redis, serializer=JSONSerializer).enqueue("jobsched.runner.run_slice")
    assert {lane.band.label: lane.queued for lane in _taken(client, settings, redis).lanes} == {
        "1ms": 0, "10ms": 0, "100ms": 0, "1s": 0, "10s": 1}


def test_sites_stand_in_the_order_that_they_go_with_parts_that_add_up(
    client: FlaskClient, settings: Settings, redis: Redis
) -> None:
    low, high = add_site(client, name="Low"), add_site(client, name="High", record_capacity=3)
    user = add_user(client, low)
    add_job(client, user=user, site=low, execution_time=5)
    for _ in range(3):
        add_job(client, user=user, site=high, execution_time=5)
    taken = _taken(client, settings, redis)
    (lane,) = taken.rankings or ()

    assert lane.band.label == "10s"
    assert [(taken.site_names[row.site], row.waiting) for row in lane.shown] == [("High", 3), ("Low", 1)]
    for row in lane.shown:
        assert row.score == pytest.approx(row.boost + row.share + row.age + row.size)
        assert row.points == client.get(f"/sites/{row.site}").json["points"]


@pytest.mark.parametrize("policy", ["fifo", "priority", "shortest", "fair"])
@ON_SQLITE
def test_scores_are_shown_without_what_all_sites_share_and_keep_their_distances(
    client: FlaskClient, settings: Settings, redis: Redis, policy: str
) -> None:
    settings = replace(settings, policy=policy)
    board_of(client).rules.install(POLICIES[policy], settings.bands, settings.tiers)
    for name in ("A", "B", "C"):
        site = add_site(client, name=name)
        add_job(client, site=site, user=add_user(client, site), execution_time=5)
    (lane,) = _taken(client, settings, redis, seconds=10).rankings or ()
    (first, top), *rest = zip(lane.shown, lane.on_board, strict=True)
    for row, raw in rest:
        assert first.score - row.score == pytest.approx(top.score - raw.score, abs=1e-5)
        assert abs(row.score) < 100


def test_a_job_that_has_just_left_its_line_has_no_age() -> None:
    row = Ranked(site=1, score=-5e8, waiting=0, points=1, boost=0.0, share=0.0, age=0.0, size=0.0)
    (shown,) = relative([row], ages=1.7e9)
    assert (shown.score, shown.age) == (0.0, 0.0)


@ON_SQLITE
def test_the_latest_jobs_come_first_and_times_of_an_earlier_start_are_left_out(
    client: FlaskClient, settings: Settings, redis: Redis
) -> None:
    add_user(client)
    first, second, third = (add_job(client)["id"] for _ in range(3))
    now = utcnow()
    set_status(client, first, Status.COMPLETED, enqueued_at=now, started_at=now + timedelta(seconds=2),
               finished_at=now + timedelta(seconds=3), run_time=0.9)
    set_status(client, second, Status.PENDING, enqueued_at=now, started_at=now - timedelta(seconds=9), run_time=0.5)
    set_status(client, third, Status.SCHEDULED, enqueued_at=now + timedelta(hours=1))
    latest = _taken(client, settings, redis, seconds=7).latest
    assert [(job.id, job.run_time) for job in latest] == [(third, None), (second, None), (first, 0.9)]
    assert [job.waited_s and round(job.waited_s) for job in latest] == [None, 7, 2]


def test_workers_are_read_without_a_trace(redis: Redis) -> None:
    queues = [Queue(name, connection=redis, serializer=JSONSerializer) for name in ("band-1s", "band-1ms")]
    worker = SimpleWorker(queues, name="w-1", connection=redis, serializer=JSONSerializer)
    worker.register_birth()
    redis.sadd(SimpleWorker.redis_workers_keys, "rq:worker:gone")
    impatient = connect(f"unix://{redis.connection_pool.connection_kwargs['path']}?db=0", patient=False)
    (seen,) = workers(impatient)

    assert (seen.name, seen.queues, seen.pid, seen.slice) == ("w-1", ("band-1s", "band-1ms"), worker.pid, None)
    assert redis.sismember(SimpleWorker.redis_workers_keys, "rq:worker:gone")
    assert impatient.connection_pool.connection_kwargs["socket_timeout"] == 2
    impatient.close()


@ON_SQLITE
def test_without_redis_the_dashboard_answers_from_sql(
    make_client: MakeClient, settings: Settings, tmp_path: Path
) -> None:
    client = make_client(replace(settings, redis_url=f"unix://{tmp_path}/nobody.sock?db=0"))
    with client.application.app_context():
        create_tables()
    add_user(client)
    add_job(client, execution_time=5)
    for path in ("/", "/?part=live"):
        page = client.get(path, headers=BROWSER)
        assert page.status_code == 200
        assert "Redis does not answer" in page.text
        assert "#1</a>" in page.text


@ON_SQLITE
def test_on_a_lost_board_the_dashboard_says_so_and_still_shows_the_queues(
    client: FlaskClient, settings: Settings, redis: Redis
) -> None:
    redis.flushall()
    taken = _taken(client, settings, redis)
    assert taken.redis.note is not None
    assert taken.rankings is None
    assert taken.redis.workers == ()
    assert [lane.queued for lane in taken.lanes] == [0] * 5


@ON_SQLITE
def test_a_live_part_that_has_not_changed_costs_a_304(client: FlaskClient) -> None:
    first = client.get("/?part=live", headers=BROWSER)
    assert first.status_code == 200
    assert "<html" not in first.text
    again = client.get("/?part=live", headers={**BROWSER, "If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    add_job(client, user=add_user(client))
    changed = client.get("/?part=live", headers={**BROWSER, "If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200


@ON_SQLITE
def test_what_people_type_is_text_on_every_page(client: FlaskClient) -> None:
    trick = "<script>alert(1)</script>\"'"
    site = add_site(client, name=trick, description=trick, url=f"javascript:{trick}")
    add_job(client, user=add_user(client, site, name=trick), site=site, payload={trick: trick})
    for path in ("/", "/sites", f"/sites/{site}", "/user-records", "/user-records/1", "/jobs", "/jobs/1"):
        page = client.get(path, headers=BROWSER)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert 'href="javascript' not in page.text


def test_a_costly_value_is_made_anew_only_after_a_multiple_of_its_cost() -> None:
    ticks = iter([
        0.0, 1.0,  # made, which took a second
        20.9,  # still held
        21.0, 21.0,  # made again, at no cost
        21.0, 21.0,  # so it is made anew at once
    ])
    throttled: Throttled[int] = Throttled(rest=20.0, clock=lambda: next(ticks))
    made = iter([1, 2, 3])
    assert [throttled.get(lambda: next(made)) for _ in range(4)] == [1, 1, 2, 3]


def test_a_dashboard_where_all_who_wait_are_held_says_so(client: FlaskClient) -> None:
    add_user(client)
    assert "No site waits." in client.get("/", headers=BROWSER).text
    add_job(client)
    client.patch("/sites/1", json={"paused": True})

    assert "All waiting sites are held by a limit." in client.get("/", headers=BROWSER).text


def test_the_dashboard_says_which_processes_are_missing_and_what_was_set_aside(
    client: FlaskClient, redis: Redis
) -> None:
    page = client.get("/", headers=BROWSER).text
    assert "No dispatcher is alive" in page
    assert "No scheduler is alive" in page
    assert "Set aside" not in page

    board_of(client).presence.beat("scheduler", "sched-1", 60)
    aside.counted(redis, "<b>forged</b> slice", "")
    page = client.get("/", headers=BROWSER).text

    assert "Scheduler: sched-1." in page
    assert "1 &lt;b&gt;forged&lt;/b&gt; slice" in page
