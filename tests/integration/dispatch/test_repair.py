"""The sweep: each way in which SQL and the board can differ is caused and mended."""

from __future__ import annotations

import dataclasses
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy
from click.testing import CliRunner
from redis import Redis
from sqlalchemy.exc import OperationalError

from jobsched import cli
from jobsched.board import PREFIX, Board
from jobsched.config import Settings
from jobsched.dispatch import facts, leases, placing, rebuild, repair
from jobsched.dispatch.repair import Sweeper
from jobsched.domain import Slice, Status
from jobsched.intake import controls
from jobsched.intake.drafts import JobDraft
from jobsched.ledger import moves
from jobsched.ledger.database import reading, writing
from jobsched.ledger.models import Job, Site, UserRecord, utcnow
from jobsched.ledger.moves import StartedJob
from jobsched.queues import lanes
from tests.engine import cut, draft, environment, insert, job, people, post, slice_of, statuses
from tests.support import BANDS, counts, eventually, install

pytestmark = pytest.mark.usefixtures("ledger", "task_names")


@pytest.fixture
def task_names() -> None:
    import tests.engine_tasks  # noqa: F401


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, lease_s=0.05, max_attempts=3)


@pytest.fixture
def board(redis: Redis, settings: Settings) -> Board:
    people(sites=3)
    board = install(Board(redis), "balanced")
    redis.hset(f"{PREFIX}rules", "made_at", 0)  # long ago
    return board


@pytest.fixture
def sweeper(settings: Settings, board: Board, redis: Redis, ledger: object) -> Sweeper:
    """One that has swept once, so that the board knows the facts of all sites."""
    sweeper = Sweeper(settings, board, redis)
    sweeper.sweep()
    return sweeper


def at_rest(sweeper: Sweeper) -> bool:
    """Whether a sweep finds nothing to mend."""
    found = {step: count for step, count in sweeper.sweep().items() if count}
    assert found == {}
    return True


def update(id_: int, **fields: object) -> None:
    """Change a job's row behind the board's back."""
    with writing() as session:
        row = session.get_one(Job, id_)
        for name, value in fields.items():
            setattr(row, name, value)


def start(slice_: Slice) -> list[StartedJob]:
    with writing() as session:
        return moves.start(session, slice_)


def take_expired(board: Board, band: str = "task_01") -> Slice:
    """A slice whose lease has run out."""
    (slice_,) = cut(board, band, lease_s=0.01)
    eventually(lambda: slice_.id in board.upkeep.expired(10))
    return slice_


def pairs(slice_: Slice) -> list[tuple[int, int]]:
    return [(fence.job, fence.attempt) for fence in slice_.jobs]


# Pending, but not on the board


def test_a_pending_job_that_the_board_does_not_know_is_placed(
    sweeper: Sweeper, settings: Settings, board: Board
) -> None:
    ids = insert(settings, draft(), draft(site=2, user=2, execution_time=5.0))

    assert sweeper.placing.missing() == 2

    assert board.upkeep.known(ids) == set(ids)
    assert board.view.standing(2).pending == {"task_05": 1}
    assert at_rest(sweeper)


def test_it_looks_at_a_portion_at_a_time_and_begins_again_at_the_end(
    sweeper: Sweeper, settings: Settings, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "PORTION", 10)
    ids = insert(settings, *(draft() for _ in range(25)))

    assert [sweeper.placing.missing() for _ in range(4)] == [10, 10, 5, 0]
    board.drop([ids[0]])
    assert sum(sweeper.placing.missing() for _ in range(3)) == 1


# A lease that has run out


def test_a_job_of_a_silent_worker_is_given_back_and_runs_again(
    sweeper: Sweeper, settings: Settings, board: Board
) -> None:
    (id_,) = post(settings, board, draft())
    slice_ = take_expired(board)
    start(slice_)

    assert sweeper.leases.expired() == 1

    assert (job(id_).status, job(id_).attempt) == ("pending", 1)
    assert board.upkeep.flying() == {}
    assert at_rest(sweeper)
    (again,) = cut(board, "task_01")
    assert pairs(again) == [(id_, 1)]
    assert [started.attempt for started in start(again)] == [2]


def test_a_job_that_was_lost_on_the_way_to_a_worker_is_placed_again(
    sweeper: Sweeper, settings: Settings, board: Board
) -> None:
    (id_,) = post(settings, board, draft())
    take_expired(board)

    assert sweeper.leases.expired() == 1

    assert (job(id_).status, job(id_).attempt) == ("pending", 0)
    assert board.view.standing(1).pending == {"task_01": 1}
    assert at_rest(sweeper)


def test_nothing_is_left_of_a_slice_whose_worker_died_between_its_pop_and_its_start(
    sweeper: Sweeper, settings: Settings, board: Board, redis: Redis
) -> None:
    post(settings, board, draft())
    slice_ = take_expired(board)
    lanes.enqueue(redis, BANDS[0], [slice_])
    assert redis.lpop("rq:queue:band-1ms") == slice_.id.encode()

    assert sweeper.leases.expired() == 1

    assert redis.keys("rq:job:*") == []


def test_a_job_without_an_attempt_left_has_failed(sweeper: Sweeper, settings: Settings, board: Board) -> None:
    (id_,) = post(settings, board, draft())
    for attempt in (1, 2, 3):
        start(take_expired(board))
        assert job(id_).attempt == attempt
        assert sweeper.leases.expired() == 1

    assert (job(id_).status, job(id_).error) == ("failed", f"{leases.SILENT}, and no attempt is left")
    assert board.upkeep.known([id_]) == set()
    assert at_rest(sweeper)


def test_jobs_that_were_given_back_go_alone(sweeper: Sweeper, settings: Settings, board: Board) -> None:
    """One of them may be what kills its worker: it is not to use up its neighbours' attempts."""
    suspects = post(settings, board, *(draft() for _ in range(3)))
    start(take_expired(board))
    sweeper.leases.expired()
    fresh = post(settings, board, draft(), draft())

    slices = cut(board, "task_01", 9)

    assert sorted(pairs(slice_) for slice_ in slices) == [
        *([(id_, 1)] for id_ in suspects), [(id_, 0) for id_ in fresh],
    ]


def test_what_a_silent_worker_has_recorded_stays(sweeper: Sweeper, settings: Settings, board: Board) -> None:
    """It was killed after its finish fence and before it settled."""
    done, running = post(settings, board, draft(), draft())
    slice_ = take_expired(board)
    start(slice_)
    update(done, status=Status.COMPLETED)

    assert sweeper.leases.expired() == 1

    assert (job(done).status, job(running).status) == ("completed", "pending")
    assert board.upkeep.known([done, running]) == {running}
    assert at_rest(sweeper)


def test_a_slice_that_still_stands_in_its_queue_is_kept(
    sweeper: Sweeper, settings: Settings, board: Board, redis: Redis
) -> None:
    """All workers of its lane are busy for longer than a lease."""
    (id_,) = post(settings, board, draft())
    slice_ = take_expired(board)
    lanes.enqueue(redis, BANDS[0], [slice_])

    assert sweeper.leases.expired() == 0

    assert board.upkeep.flying() == {slice_.id: ("task_01", [id_])}
    assert board.view.standing(1).pending == {}
    redis.lpop("rq:queue:band-1ms")
    eventually(lambda: slice_.id in board.upkeep.expired(10))
    assert sweeper.leases.expired() == 1
    assert at_rest(sweeper)


def test_an_older_slice_takes_no_job_from_a_later_one(
    sweeper: Sweeper, settings: Settings, board: Board, redis: Redis
) -> None:
    """The job went from a slice that fell silent to the next; then the sweep meets the first one again."""
    (id_,) = post(settings, board, draft())
    old = take_expired(board)
    start(old)
    sweeper.leases.expired()
    (later,) = cut(board, "task_01")
    start(later)
    # As if the sweep had been killed after it gave the jobs back: the old slice is still in flight.
    redis.hset(f"{PREFIX}slice:{old.id}", mapping={
        "site": 1, "band": "task_01", "jobs": str(id_), "seconds": 0.001, "finish": 0.001})
    redis.zadd(f"{PREFIX}flight", {old.id: 1.0})

    assert sweeper.leases.expired() == 1

    assert (job(id_).status, job(id_).attempt, job(id_).slice) == ("running", 2, later.id)
    assert set(board.upkeep.flying()) == {later.id}
    assert board.upkeep.known([id_]) == {id_}


def test_a_flight_without_its_slice_comes_up_once(sweeper: Sweeper, board: Board, redis: Redis) -> None:
    redis.zadd(f"{PREFIX}flight", {"nobody-1": 1.0})

    assert sweeper.leases.expired() == 1
    assert at_rest(sweeper)


def test_a_slice_of_a_band_that_is_no_more_is_taken_back(
    sweeper: Sweeper, settings: Settings, board: Board, redis: Redis
) -> None:
    (id_,) = post(settings, board, draft())
    slice_ = take_expired(board)
    redis.hset(f"{PREFIX}slice:{slice_.id}", "band", "task_99")

    assert sweeper.leases.expired() == 1
    assert board.upkeep.known([id_]) == {id_}


# Running, and nobody carries it


def test_a_job_that_nobody_carries_is_given_back(sweeper: Sweeper, settings: Settings, board: Board) -> None:
    lost, spent, fresh = insert(settings, draft(), draft(), draft())
    long_ago = utcnow() - timedelta(seconds=60)
    update(lost, status=Status.RUNNING, attempt=1, started_at=long_ago)
    update(spent, status=Status.RUNNING, attempt=3, started_at=long_ago)
    update(fresh, status=Status.RUNNING, attempt=1, started_at=utcnow() + timedelta(seconds=60))

    assert sweeper.leases.orphaned() == 2

    assert [job(id_).status for id_ in (lost, spent, fresh)] == ["pending", "failed", "running"]
    assert board.upkeep.known([lost, spent, fresh]) == {lost}
    assert at_rest(sweeper)


def test_a_job_that_runs_in_a_slice_is_left_alone_for_however_long(
    sweeper: Sweeper, settings: Settings, board: Board
) -> None:
    (id_,) = post(settings, board, draft())
    (slice_,) = cut(board, "task_01")
    start(slice_)
    update(id_, started_at=utcnow() - timedelta(days=1))

    assert sweeper.leases.orphaned() == 0
    assert job(id_).status == "running"


def test_a_new_board_leaves_workers_a_lease_of_time_to_put_their_slices_back(
    settings: Settings, board: Board, redis: Redis
) -> None:
    (id_,) = insert(settings, draft())
    update(id_, status=Status.RUNNING, attempt=1, started_at=utcnow() - timedelta(days=1))
    redis.flushall()
    settings = dataclasses.replace(settings, lease_s=60)
    at = Board(redis, now=1_000_000.0)
    sweeper = Sweeper(settings, at, redis)

    assert sweeper.builder.lost() == 0
    at.now = 1_000_059.0
    assert sweeper.leases.orphaned() == 0
    assert job(id_).status == "running"
    at.now = 1_000_060.0
    assert sweeper.leases.orphaned() == 1


def test_thousands_of_orphans_are_given_back_at_once(
    sweeper: Sweeper, settings: Settings, board: Board
) -> None:
    ids = insert(settings, *(draft() for _ in range(5000)))
    long_ago = utcnow() - timedelta(hours=1)
    with writing() as session:
        session.execute(sqlalchemy.update(Job).values(status="running", attempt=1, started_at=long_ago))

    assert sweeper.leases.orphaned() == 5000
    assert len(board.upkeep.known(ids)) == 5000


# On the board, but not (so) in SQL


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.PENDING])
def test_a_job_that_is_not_pending_any_more_leaves_the_board(
    sweeper: Sweeper, settings: Settings, board: Board, status: Status
) -> None:
    gone, waits = post(settings, board, draft(), draft())
    # A running one is young, so that nobody takes it for an orphan.
    update(gone, status=status, started_at=utcnow() + timedelta(seconds=60))

    assert sweeper.placing.stale() == 1

    assert board.upkeep.known([gone, waits]) == {waits}
    assert board.view.standing(1).pending == {"task_01": 1}
    assert at_rest(sweeper)


def test_a_job_that_was_deleted_leaves_the_board(sweeper: Sweeper, settings: Settings, board: Board) -> None:
    (id_,) = post(settings, board, draft())
    with writing() as session:
        session.delete(session.get_one(Job, id_))

    assert sweeper.placing.stale() == 1
    assert board.upkeep.known([id_]) == set()
    assert at_rest(sweeper)


@pytest.mark.parametrize("change", [
    {"band": "task_05", "execution_time": 5.0}, {"site_id": 2}, {"user_id": 2}, {"attempt": 1},
    {"execution_time": 0.0005}, {"enqueued_at": utcnow() - timedelta(hours=1)},
], ids=lambda change: next(iter(change)))
def test_a_job_that_was_changed_while_redis_was_away_is_placed_anew(
    sweeper: Sweeper, settings: Settings, board: Board, change: dict[str, object]
) -> None:
    (id_,) = post(settings, board, draft())
    update(id_, **change)

    assert sweeper.placing.stale() == 1

    row = job(id_)
    assert board.view.standing(row.site_id).pending == {row.band: 1}
    (slice_,) = cut(board, row.band)
    assert (slice_.site, pairs(slice_)) == (row.site_id, [(id_, row.attempt)])
    board.settle(slice_.id, None)
    board.place(writes_pending())
    assert at_rest(sweeper)


def writes_pending() -> list[object]:
    with reading() as session:
        return list(moves.pending(session, 0, 100))


def test_a_job_in_flight_stays_there(sweeper: Sweeper, settings: Settings, board: Board) -> None:
    """Its slice ends it, or its lease does."""
    (id_,) = post(settings, board, draft())
    (slice_,) = cut(board, "task_01")
    start(slice_)

    assert sweeper.placing.stale() == 0
    assert board.upkeep.flying() == {slice_.id: ("task_01", [id_])}


def test_the_whole_board_is_looked_through_in_portions(
    sweeper: Sweeper, settings: Settings, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "PORTION", 50)
    ids = post(settings, board, *(draft() for _ in range(1000)))
    with writing() as session:
        session.execute(sqlalchemy.update(Job).where(Job.id.in_(ids[::2])).values(status="cancelled"))

    mended = 0
    for _ in range(200):
        mended += sweeper.placing.stale()

    assert mended == 500
    assert board.upkeep.known(ids) == set(ids[1::2])


# Counts, points, facts


@pytest.mark.parametrize("break_", [
    lambda r: r.hincrby(f"{PREFIX}site:1", "tiers", 7),
    lambda r: r.hincrby(f"{PREFIX}site:1", "running", 7),
    lambda r: r.hincrby(f"{PREFIX}lanes", "waiting:task_01", 7),
    lambda r: r.hincrby(f"{PREFIX}lanes", "flying:task_02", -7),
    lambda r: r.hset(f"{PREFIX}user:1", "total", 9),
    lambda r: r.hset(f"{PREFIX}user:1", "1", 9),
    lambda r: r.delete(f"{PREFIX}user:1"),
    lambda r: r.hset(f"{PREFIX}tiers:1", "3", 2),
    lambda r: r.delete(f"{PREFIX}tiers:1"),
    lambda r: r.zadd(f"{PREFIX}points", {"1": 77}),
    lambda r: r.zrem(f"{PREFIX}points", "1"),
    lambda r: r.zrem(f"{PREFIX}lane:task_01", "1"),
    lambda r: r.zadd(f"{PREFIX}lane:task_04", {"1": 77}),
    lambda r: r.zadd(f"{PREFIX}lane:task_01", {"1": 1e9}),
])
def test_wrong_numbers_are_counted_again(
    sweeper: Sweeper, settings: Settings, board: Board, redis: Redis, break_: Callable[[Redis], object]
) -> None:
    post(settings, board, draft(), draft(), draft(site=2, user=2))
    right = board.view.standing(1), board.view.standing(2), counts(board), board.view.ranking("task_01", 9)
    break_(redis)

    assert sweeper.facts.miscounted() > 0

    assert (board.view.standing(1), board.view.standing(2), counts(board), board.view.ranking("task_01", 9)) == right
    assert at_rest(sweeper)


def test_counting_again_takes_turns_when_it_takes_long(
    sweeper: Sweeper, settings: Settings, board: Board, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(settings, board, *(draft(site=site, user=site) for site in (1, 2, 3)))
    for site in (1, 2, 3):
        redis.hincrby(f"{PREFIX}site:{site}", "running", 7)
    monkeypatch.setattr(facts, "COUNT_S", 0.0)  # over after each site

    assert [sweeper.facts.miscounted() for _ in range(3)] == [1, 1, 1]
    assert not any(sweeper.facts.miscounted() for _ in range(4))


def test_a_site_with_too_many_jobs_is_not_counted_again(settings: Settings, board: Board, redis: Redis) -> None:
    post(settings, board, *(draft() for _ in range(11)))
    redis.hincrby(f"{PREFIX}site:1", "running", 7)

    assert board.upkeep.recount(1, most_jobs=10) == 0
    assert board.upkeep.recount(1, most_jobs=11) == 1


def test_facts_that_changed_while_redis_was_away_are_told(sweeper: Sweeper, settings: Settings, board: Board) -> None:
    post(settings, board, draft())
    assert board.view.standing(1).points == 1 + 5 + 1  # tier Active, weight 5, capacity 1
    with writing() as session:
        session.get_one(Site, 1).record_capacity = 3
        session.get_one(UserRecord, 1).is_active = False

    assert sweeper.facts.changed() == 2

    assert board.view.standing(1).points == 0 + 5 + 3
    assert at_rest(sweeper)


# A lost board


@pytest.mark.parametrize("step", [Sweeper.adopt_settings, lambda sweeper: sweeper.builder.lost()],
                         ids=["adopt_settings", "lost_board"])
def test_why_the_board_is_built_is_told_once_however_often_that_is_tried(
    settings: Settings, board: Board, redis: Redis, step: Callable[[Sweeper], object],
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    def away(*_: object) -> int:
        raise OperationalError("SELECT 1", {}, sqlite3.OperationalError("database is locked"))

    sweeper = Sweeper(settings, board, redis)
    for told in (1, 2):
        redis.delete(f"{PREFIX}rules")
        with monkeypatch.context() as patch:
            patch.setattr(rebuild, "build", away)
            for _ in range(3):
                with pytest.raises(OperationalError):
                    step(sweeper)
        step(sweeper)
        assert caplog.text.count("building it from SQL") == told


def test_a_lost_board_is_built_again_whole(
    sweeper: Sweeper, settings: Settings, board: Board, redis: Redis
) -> None:
    ids = post(settings, board, *(draft(site=1 + i % 3, user=1 + i % 3, execution_time=0.001 * (1 + i % 40))
                                  for i in range(700)))
    with writing() as session:
        session.get_one(Site, 2).record_capacity = 3
        session.get_one(UserRecord, 3).is_active = False
    sweeper.facts.changed()
    before = [board.view.standing(site) for site in (1, 2, 3)], counts(board)
    epoch = board.rules.read().epoch
    redis.flushall()

    assert sweeper.builder.lost() == 700

    assert board.rules.read().epoch != epoch
    assert board.upkeep.known(ids) == set(ids)
    assert ([board.view.standing(site) for site in (1, 2, 3)], counts(board)) == before
    assert at_rest(sweeper)


def test_a_build_that_was_cut_short_is_completed_by_the_next_sweeps(
    sweeper: Sweeper, settings: Settings, board: Board, redis: Redis
) -> None:
    ids = post(settings, board, *(draft() for _ in range(50)))
    redis.flushall()
    controls.install(board, settings)  # and then it was killed

    sweeper.sweep()

    assert board.upkeep.known(ids) == set(ids)
    assert at_rest(sweeper)


def test_a_job_that_runs_while_the_board_is_lost_is_neither_placed_nor_given_back_at_once(
    settings: Settings, board: Board, redis: Redis
) -> None:
    """Its worker puts the slice back within a third of a lease; see test_runner."""
    (id_,) = post(settings, board, draft())
    (slice_,) = cut(board, "task_01")
    start(slice_)
    update(id_, started_at=utcnow() + timedelta(hours=1))
    redis.flushall()

    Sweeper(dataclasses.replace(settings, lease_s=60), board, redis).sweep()

    assert job(id_).status == "running"
    assert board.upkeep.known([id_]) == set()


def test_what_was_dispatched_before_the_loss_runs_once(
    sweeper: Sweeper, settings: Settings, board: Board, redis: Redis
) -> None:
    (id_,) = post(settings, board, draft())
    (before,) = cut(board, "task_01")
    redis.flushall()
    sweeper.sweep()
    (after,) = cut(board, "task_01")

    assert before.id != after.id
    assert [started.id for started in start(before)] == [id_]
    assert start(after) == []


# The whole sweep


def test_one_sweep_mends_all_at_once(sweeper: Sweeper, settings: Settings, board: Board) -> None:
    (silent,) = post(settings, board, draft(execution_time=0.05))
    start(take_expired(board, "task_03"))
    (stale,) = post(settings, board, draft())
    update(stale, status=Status.CANCELLED)
    missing, orphan = insert(settings, draft(), draft())
    update(orphan, status=Status.RUNNING, attempt=1, started_at=utcnow() - timedelta(hours=1))
    (due,) = insert(settings, JobDraft(1, 1, 0.001, "echo", {}, utcnow() + timedelta(hours=1)))
    update(due, run_at=utcnow() - timedelta(seconds=1))

    mended = sweeper.sweep()

    assert {step: count for step, count in mended.items() if count} == {
        "scheduled_and_due": 1, "expired_leases": 1, "orphaned_runs": 1, "not_on_the_board": 1, "not_pending": 1,
    }
    assert board.upkeep.known([silent, stale, missing, orphan, due]) == {silent, missing, orphan, due}
    assert statuses() == {"pending": 4, "cancelled": 1}
    assert not any(sweeper.sweep().values())
    assert at_rest(sweeper)


def test_while_one_sweeps_another_does_not(sweeper: Sweeper, settings: Settings, board: Board, redis: Redis) -> None:
    insert(settings, draft())
    another = Sweeper(settings, Board(redis), redis)

    with another._alone() as alone:
        assert alone
        assert sweeper.sweep() == {}
        assert sweeper.rebuild() == 0

    assert sweeper.sweep()["not_on_the_board"] == 1


def test_sweeps_one_after_the_other_find_nothing_twice(
    sweeper: Sweeper, settings: Settings, board: Board, redis: Redis
) -> None:
    (id_,) = post(settings, board, draft())
    start(take_expired(board))
    both = [Sweeper(settings, Board(redis), redis) for _ in range(2)]

    assert [sweeper.sweep()["expired_leases"] for sweeper in both] == [1, 0]
    assert job(id_).attempt == 1


def test_by_hand_it_says_what_it_mended(settings: Settings, sweeper: Sweeper, board: Board) -> None:
    insert(settings, draft(), draft())

    said = subprocess.run([sys.executable, "-m", "jobsched", "repair"], env=environment(settings), check=True,
                          capture_output=True, text=True).stdout

    assert "2  not_on_the_board\n" in said


def test_by_hand_it_waits_for_its_turn(
    settings: Settings, sweeper: Sweeper, board: Board, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    insert(settings, draft())
    with board.presence.sole("repair", 60.0):
        redis.pexpire(f"{PREFIX}lock:repair", 300)  # its holder was killed

        assert repair.main(settings)["not_on_the_board"] == 1

    assert "others sweep" in caplog.text


def test_by_hand_it_says_so_when_its_turn_does_not_come(
    settings: Settings, sweeper: Sweeper, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "TURN_S", 0.2)
    monkeypatch.setattr("jobsched.cli.load", lambda: settings)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    insert(settings, draft())
    with board.presence.sole("repair", 60.0):
        told = CliRunner().invoke(cli.main, ["repair"])

    assert told.exit_code == 1
    assert "this command has done nothing" in told.output
    assert sweeper.placing.missing() == 1


def test_a_lock_that_nobody_lets_go_holds_no_sweep_up(sweeper: Sweeper, settings: Settings, redis: Redis) -> None:
    insert(settings, draft())
    redis.set(f"{PREFIX}lock:repair", "somebody")  # without an end

    eventually(lambda: sweeper.sweep().get("not_on_the_board"))


def test_a_start_that_comes_after_its_slice_was_taken_back_runs_the_job_once(
    sweeper: Sweeper, settings: Settings, board: Board
) -> None:
    """A worker popped the slice, was stopped for longer than its lease, and goes on."""
    (id_,) = post(settings, board, draft())
    late = take_expired(board)
    sweeper.leases.expired()
    (next_,) = cut(board, "task_01")

    first, second = start(late), start(next_)

    assert ([started.id for started in first], second) == ([id_], [])
    assert start(slice_of([id_], attempt=0)) == []
