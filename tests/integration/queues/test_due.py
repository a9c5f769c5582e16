"""Work for later: wakes by rq-scheduler, and entries that expire."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from redis import Redis
from rq.exceptions import NoSuchJobError

from jobsched.board import Board
from jobsched.config import Settings
from jobsched.intake.drafts import JobDraft
from jobsched.ledger.database import reading, writing
from jobsched.ledger.models import IdempotencyKey, db, utcnow
from jobsched.ledger.pruning import prune_idempotency_keys
from jobsched.queues import scheduler
from jobsched.queues.due import wake_due
from jobsched.queues.lanes import PRUNE, WAKE, SliceJob
from tests.engine import engine, insert, job, people, post, until_completed
from tests.support import eventually, install, make_job, make_user

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)

pytestmark = pytest.mark.usefixtures("task_names")
only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def task_names() -> None:
    import tests.engine_tasks  # noqa: F401


@pytest.fixture
def board(redis: Redis) -> Board:
    return install(Board(redis), "balanced")


def wakes(redis: Redis) -> dict[str, float]:
    return {id_.decode(): at for id_, at in redis.zrange("rq:scheduler:scheduled_jobs", 0, -1, withscores=True)}


def test_a_wake_comes_at_the_end_of_its_second_and_is_shared(redis: Redis) -> None:
    scheduler.wake_at(redis, [NOON, NOON + timedelta(seconds=0.1), NOON + timedelta(seconds=0.9),
                             NOON + timedelta(seconds=1)])
    scheduler.wake_at(redis, [NOON + timedelta(seconds=0.5)])

    noon = NOON.timestamp()
    assert wakes(redis) == {f"wake-{noon:.0f}": noon, f"wake-{noon + 1:.0f}": noon + 1}


def test_a_moment_is_one_and_the_same_in_any_zone(redis: Redis) -> None:
    scheduler.wake_at(redis, [NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))])

    assert wakes(redis) == {f"wake-{NOON.timestamp():.0f}": NOON.timestamp()}


def test_a_wake_is_json_and_one_of_ours(redis: Redis) -> None:
    scheduler.wake_at(redis, [NOON])

    wake = SliceJob.fetch(f"wake-{NOON.timestamp():.0f}", connection=redis)
    assert (wake.func_name, wake.origin, wake.timeout, wake.result_ttl) == (WAKE, "wake", -1, 0)


def test_a_wake_that_nobody_ends_goes_by_itself(redis: Redis) -> None:
    tomorrow = utcnow() + timedelta(days=1)

    scheduler.wake_at(redis, [tomorrow])

    [wake] = wakes(redis)
    left = redis.ttl(f"rq:job:{wake}")
    assert scheduler.WAKE_TTL_S < left <= 86_401 + scheduler.WAKE_TTL_S


def test_nothing_to_wake_asks_nothing(redis: Redis) -> None:
    scheduler.wake_at(redis, [])

    assert redis.keys("*") == []


def test_due_jobs_are_woken_and_placed_in_portions(settings: Settings, ledger: object, board: Board) -> None:
    user = make_user()
    due = [make_job(user, status="scheduled", run_at=NOON).id for _ in range(7)]
    later = make_job(user, status="scheduled", run_at=NOON + timedelta(seconds=1)).id

    assert wake_due(board, NOON, limit=5) == 5
    assert wake_due(board, NOON, limit=5) == 2
    assert wake_due(board, NOON, limit=5) == 0

    assert board.upkeep.known([*due, later]) == set(due)
    assert {job(id_).status for id_ in due} == {"pending"}
    assert job(later).status == "scheduled"


@only_sqlite
def test_old_answers_are_forgotten(ledger: object) -> None:
    now = utcnow()
    with writing() as session:
        for key, age in (("new", timedelta(hours=23)), ("old", timedelta(hours=25))):
            session.add(IdempotencyKey(key=key, fingerprint="", status_code=201, body="", created_at=now - age))

    assert prune_idempotency_keys(now) == 1
    assert prune_idempotency_keys(now) == 0

    with reading() as session:
        assert list(session.scalars(db.select(IdempotencyKey.key))) == ["new"]


@pytest.mark.slow
def test_a_scheduled_job_is_woken_by_the_scheduler_alone(
    settings: Settings, ledger: object, board: Board, tmp_path: Path
) -> None:
    """The dispatcher's own sweep, which would wake it as well, is an hour away."""
    people()
    with engine(settings, tmp_path, JOBSCHED_REPAIR_EVERY="3600"):
        eventually(lambda: board.presence.alive("worker"), 60)
        run_at = utcnow() + timedelta(seconds=1.5)
        (id_,) = post(settings, board, JobDraft(1, 1, 0.001, "echo", {"back": 1}, run_at))

        until_completed(1)

    row = job(id_)
    assert (row.result, row.attempt, row.run_at) == (1, 1, run_at)
    assert row.started_at is not None
    assert row.started_at >= run_at


@pytest.mark.slow
@only_sqlite
def test_a_job_whose_wake_was_lost_is_woken_all_the_same(
    settings: Settings, ledger: object, board: Board, tmp_path: Path
) -> None:
    people()
    insert(settings, JobDraft(1, 1, 0.001, "echo", {}, utcnow() + timedelta(seconds=1)))
    with engine(settings, tmp_path, ("dispatcher", "worker"), JOBSCHED_REPAIR_EVERY="0.5"):
        until_completed(1)


@pytest.mark.slow
@only_sqlite
def test_the_scheduler_keeps_the_periodic_work_and_ends_on_sigterm(
    settings: Settings, ledger: object, redis: Redis, tmp_path: Path
) -> None:
    for _ in range(2):  # a restart sets up the same, once
        redis.delete("rq:queue:wake")
        with engine(settings, tmp_path, ("scheduler",)) as programs:
            eventually(lambda: redis.llen("rq:queue:wake") == 2)
            assert programs["scheduler"].end() == 0

    assert set(wakes(redis)) <= {WAKE.replace(".", "-"), PRUNE.replace(".", "-")}
    for name in (WAKE, PRUNE):
        assert SliceJob.fetch(name.replace(".", "-"), connection=redis).func_name == name
    with pytest.raises(NoSuchJobError):
        SliceJob.fetch("anything-else", connection=redis)
