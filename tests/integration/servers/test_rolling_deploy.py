"""Workers with different tasks: each job goes to a worker that has its task, or waits, unharmed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from redis import Redis

from jobsched import tasks
from jobsched.board import PREFIX, Aside, Board, Flying, Waiting, code_of
from jobsched.config import Settings
from jobsched.dispatch.dispatcher import Dispatcher
from jobsched.dispatch.repair import Sweeper
from jobsched.domain import Invalid, SiteFacts
from jobsched.forecast.why import Reason, expected, reasons
from jobsched.intake import submit
from jobsched.intake.drafts import JobDraft
from jobsched.ledger.database import reading, writing
from jobsched.ledger.models import utcnow
from jobsched.queues import lanes
from jobsched.staffing.plan import Slot
from jobsched.web.api.why import gather
from jobsched.work import runner
from jobsched.work.worker import LaneWorker
from tests.engine import as_arguments, cut, draft, engine, job, people, post, runtime, starts, statuses, until_completed
from tests.newer_tasks import new_task
from tests.support import BANDS, eventually, install, waiting_job

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
NEWER = "tests.engine_tasks,tests.newer_tasks"
QUICK = {"JOBSCHED_REPAIR_EVERY": "0.5", "JOBSCHED_LEASE": "2"}


@pytest.fixture
def board(redis: Redis) -> Board:
    return install(Board(redis), "balanced")


@contextmanager
def without_new_task() -> Iterator[None]:
    """This process runs the older version of the code."""
    known = tasks._tasks.pop("new_task")
    try:
        yield
    finally:
        tasks._tasks["new_task"] = known


def say(board: Board, *versions: tuple[str, list[str]], bands: tuple[str, ...] = ("task_01", "task_04")) -> None:
    """Workers, by name, that know tasks."""
    for name, known in versions:
        board.codes.beat(name, bands, known, 30.0)


def run_here(settings: Settings, slice_: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a slice in this process, as a worker of the older version does."""
    for name, value in {"REDIS_URL": settings.redis_url, "DATABASE_URL": settings.database_url,
                        "JOBSCHED_HOME": str(settings.home), "SECRET_KEY": settings.secret_key}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("JOBSCHED_TASKS", raising=False)
    with runtime(), without_new_task():
        runner.run_slice(*as_arguments(slice_))  # type: ignore[arg-type]


def held_by(settings: Settings, redis: Redis, id_: int) -> list[Reason]:
    with reading() as session:
        return reasons(gather(session, id_, settings, Board(redis), redis))


# A worker that lacks the task


def test_a_worker_starts_what_it_knows_and_sets_the_rest_aside_unharmed(
    settings: Settings, ledger: object, board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people()
    book = str(tmp_path / "book")
    ids = post(settings, board, *(draft(name, book=book) for name in ("tally", "new_task", "tally", "new_task")))
    (slice_,) = cut(board, "task_01")
    assert len(slice_.jobs) == 4

    run_here(settings, slice_, monkeypatch)

    assert [(job(id_).status, job(id_).attempt, job(id_).error) for id_ in ids] == [
        ("completed", 1, None), ("pending", 0, None), ("completed", 1, None), ("pending", 0, None)]
    assert {id_: board.view.why(id_) for id_ in ids if board.view.why(id_)} == {
        ids[1]: Aside(1, "task_01"), ids[3]: Aside(1, "task_01")}
    assert board.asides() == [("task_01", "new_task")]
    standing = board.view.standing(1)
    assert (standing.running, standing.pending, board.upkeep.flying()) == (0, {}, {})


def test_what_was_set_aside_is_neither_taken_nor_placed_again(
    settings: Settings, ledger: object, board: Board, monkeypatch: pytest.MonkeyPatch, redis: Redis
) -> None:
    people()
    Sweeper(settings, board, redis).facts.changed()
    (id_,) = post(settings, board, draft("new_task"))
    run_here(settings, cut(board, "task_01")[0], monkeypatch)
    say(board, ("old", ["tally"]))
    dispatcher = Dispatcher(settings, board, redis)

    handed = [dispatcher.dispatch() for _ in range(5)]
    mended = [Sweeper(settings, board, redis).sweep() for _ in range(2)]

    assert handed == [0] * 5
    assert cut(board, "task_01") == []
    assert [{step: n for step, n in steps.items() if n} for steps in mended] == [{}, {}]
    assert isinstance(board.view.why(id_), Aside)


def test_a_neighbour_of_another_task_goes_at_once(
    settings: Settings, ledger: object, board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis: Redis
) -> None:
    people(2)
    post(settings, board, *(draft("new_task", execution_time=1.0) for _ in range(20)))
    (other,) = post(settings, board, draft("tally", execution_time=1.0, book=str(tmp_path / "book")))
    tag = float(redis.hget(f"{PREFIX}site:1", "tag:task_04") or 0)
    for _ in range(20):
        run_here(settings, cut(board, "task_04")[0], monkeypatch)

    run_here(settings, cut(board, "task_04")[0], monkeypatch)

    assert job(other).status == "completed"
    # It has not paid for what nobody has done.
    used = job(other).run_time or 0.0
    assert float(redis.hget(f"{PREFIX}site:1", "tag:task_04") or 0) == pytest.approx(tag + used, abs=0.01)


# Who knows it is handed it


def test_it_is_handed_to_those_of_its_lane_that_know_it(
    settings: Settings, ledger: object, board: Board, monkeypatch: pytest.MonkeyPatch, redis: Redis
) -> None:
    people()
    post(settings, board, draft("new_task"))
    run_here(settings, cut(board, "task_01")[0], monkeypatch)
    say(board, ("old", ["tally"]), ("elsewhere", ["new_task"]), bands=("task_04",))
    say(board, ("old", ["tally"]), ("new", ["new_task", "tally"]), bands=("task_01",))

    assert Dispatcher(settings, board, redis).dispatch() == 1

    side = f"band-1ms-{code_of(['new_task', 'tally'])}"
    assert lanes.queue(redis, side).count == 1
    assert lanes.queue(redis, "band-1ms").count == 0
    assert board.asides() == []
    assert len(board.upkeep.flying()) == 1


def test_a_queue_of_those_who_know_is_kept_shallow(
    settings: Settings, ledger: object, board: Board, monkeypatch: pytest.MonkeyPatch, redis: Redis
) -> None:
    people()
    post(settings, board, *(draft("new_task", execution_time=1.0) for _ in range(9)))
    for _ in range(9):
        run_here(settings, cut(board, "task_04")[0], monkeypatch)
    say(board, ("new", ["new_task"]))
    dispatcher = Dispatcher(settings, board, redis)

    assert [dispatcher.dispatch() for _ in range(3)] == [1, 0, 0]


def test_sites_share_what_was_set_aside(redis: Redis, board: Board) -> None:
    board.place(waiting_job(i, site=1) for i in range(1, 31))
    board.place(waiting_job(i, site=2) for i in range(31, 34))
    while found := cut(board, "task_04"):
        board.set_aside(found[0].id, {fence.job: "new_task" for fence in found[0].jobs})
        board.settle(found[0].id, 0.0)

    handed = [board.hand_on("task_04", "new_task", 1, budget_s=0.1, lease_s=60.0)[0].site for _ in range(6)]

    assert Counter(handed) == {1: 3, 2: 3}


def test_a_paused_site_and_one_at_its_cap_are_handed_no_more(redis: Redis, board: Board) -> None:
    for site in (1, 2, 3):
        board.place(waiting_job(site=site) for _ in range(3))
    while found := cut(board, "task_04"):
        board.set_aside(found[0].id, {fence.job: "new_task" for fence in found[0].jobs})
        board.settle(found[0].id, 0.0)
    board.update_sites([SiteFacts(1, 1, paused=True), SiteFacts(2, 1, max_running=1), SiteFacts(3, 1)])

    handed = board.hand_on("task_04", "new_task", 9, budget_s=0.1, lease_s=60.0)

    assert Counter(slice_.site for slice_ in handed) == {2: 1, 3: 3}
    board.rules.pause_lanes(["task_04"])
    assert board.hand_on("task_04", "new_task", 9, budget_s=0.1, lease_s=60.0) == []


def test_a_slice_comes_back_when_all_who_knew_its_task_are_gone(
    settings: Settings, ledger: object, board: Board, monkeypatch: pytest.MonkeyPatch, redis: Redis
) -> None:
    people()
    (id_,) = post(settings, board, draft("new_task"))
    run_here(settings, cut(board, "task_01")[0], monkeypatch)
    say(board, ("new", ["new_task"]))
    Dispatcher(settings, board, redis).dispatch()
    (slice_id,) = board.upkeep.flying()
    board.renew(slice_id, 0.0, started=False)
    sweeper = Sweeper(settings, board, redis)
    assert sweeper.leases.expired() == 0  # it waits in its queue, and somebody listens

    board.codes.leave("new", ["task_01", "task_04"], ["new_task"])
    board.renew(slice_id, 0.0, started=False)
    assert sweeper.leases.expired() == 1

    assert isinstance(board.view.why(id_), Waiting)
    assert not [key for key in redis.smembers("rq:queues") if b"-1ms-" in key]


@pytest.mark.parametrize("what", ["cancel", "delete", "change"])
def test_what_was_set_aside_can_be_changed_as_what_waits(
    settings: Settings, ledger: object, board: Board, monkeypatch: pytest.MonkeyPatch, what: str, redis: Redis
) -> None:
    people()
    (id_,) = post(settings, board, draft("new_task"))
    run_here(settings, cut(board, "task_01")[0], monkeypatch)

    with writing() as session:
        if what == "cancel":
            submit.cancel(session, board, id_)
        elif what == "delete":
            submit.remove(session, board, id_)
        else:
            submit.change(session, board, id_, draft("echo", execution_time=1.0), settings)

    assert board.asides() == []
    assert not redis.exists(f"{PREFIX}aside", f"{PREFIX}turns:task_01 new_task")
    found = board.view.why(id_)
    assert isinstance(found, Waiting) and found.band == "task_04" if what == "change" else found is None


def test_names_of_any_kind_are_kept_apart(redis: Redis, board: Board) -> None:
    names = ["two words", "", " ", "a:b", "größe", "task_04 x", "\n", "%s", "x" * 100]
    jobs = [waiting_job(i) for i in range(1, len(names) + 1)]
    board.place(jobs)
    for _ in names:
        (slice_,) = cut(board, "task_04")
        board.set_aside(slice_.id, {slice_.jobs[0].job: names[slice_.jobs[0].job - 1]})
        board.settle(slice_.id, 0.0)

    assert sorted(task for _, task in board.asides()) == sorted(names)
    for i, name in enumerate(names, 1):
        (slice_,) = board.hand_on("task_04", name, 5, budget_s=0.1, lease_s=60.0)
        assert [fence.job for fence in slice_.jobs] == [i]


# What people are told


def test_why_says_that_nobody_alive_knows_the_task(
    settings: Settings, ledger: object, board: Board, monkeypatch: pytest.MonkeyPatch, redis: Redis
) -> None:
    people()
    waits, aside = post(settings, board, draft("new_task", execution_time=1.0), draft("new_task"))
    run_here(settings, cut(board, "task_01")[0], monkeypatch)
    LaneWorker(Slot(BANDS, ()), connection=redis, name="old").register_birth()
    say(board, ("old", ["tally", "echo"]))

    for id_ in (waits, aside):
        told = {reason.code: reason.text for reason in held_by(settings, redis, id_)}
        assert told["unknown_task"] == (
            f"No living worker of the {'1s' if id_ == waits else '1ms'} lane has the task 'new_task': it waits for "
            "a worker that does. They have echo, tally.")
        with reading() as session:
            assert expected(gather(session, id_, settings, board, redis)) is None

    say(board, ("new", ["new_task"]))
    assert "unknown_task" not in {reason.code for reason in held_by(settings, redis, waits)}
    assert [reason.code for reason in held_by(settings, redis, aside) if reason.code != "no_dispatcher"] == ["aside"]


def test_a_task_that_only_workers_know_is_taken(settings: Settings, ledger: object, board: Board) -> None:
    people()
    wish = {"": JobDraft(1, 1, 0.5, "new_task")}
    with without_new_task(), writing() as session:
        with pytest.raises(Invalid, match="no task 'new_task'"):
            submit.insert_jobs(session, board, wish, settings)

        say(board, ("new", ["new_task"]))
        (row,) = submit.insert_jobs(session, board, wish, settings)

    assert row.status == "pending"


def test_versions_that_nobody_runs_are_forgotten(board: Board, redis: Redis) -> None:
    say(board, ("a", ["x"]), ("b", ["x"]), ("c", ["y"]))
    assert {code.workers for code in board.codes.by_band()["task_01"]} == {1, 2}

    board.codes.leave("c", ["task_01", "task_04"], ["y"])
    board.codes.prune()

    assert board.codes.tasks() == {"x"}
    assert redis.hlen(f"{PREFIX}alive:tasks") == 1


# Real workers


@pytest.mark.slow
def test_a_rolling_deploy_fails_nothing_and_goes_at_the_speed_of_those_who_know(
    settings: Settings, ledger: object, board: Board, tmp_path: Path, redis: Redis
) -> None:
    people(2)
    book = tmp_path / "book"
    kinds = ("new_task", "tally")
    wishes = [draft(kinds[i % 2], site=1 + i % 2, user=1, execution_time=0.2, book=str(book), seconds=0.05)
              for i in range(40)]
    with ExitStack() as stack:
        stack.enter_context(engine(settings, tmp_path, ("dispatcher", "worker"), JOBSCHED_WORKERS="2", **QUICK))
        (tmp_path / "newer").mkdir()
        eventually(lambda: len(board.presence.alive("worker")) == 2, 40)
        ids = post(settings, board, *wishes)
        eventually(lambda: statuses().get("completed") == 20, 60)  # the others, which all know
        eventually(lambda: len([id_ for id_ in ids if isinstance(board.view.why(id_), Aside)]) == 20, 30)
        popped = redis.get(f"{PREFIX}slices")
        assert {reason.code for reason in held_by(settings, redis, ids[0])} == {"unknown_task"}
        eventually(lambda: board.rules.age_s() > 0 and redis.zcard(f"{PREFIX}flight") == 0)
        assert redis.get(f"{PREFIX}slices") == popped  # nothing goes to and fro

        stack.enter_context(engine(settings, tmp_path / "newer", ("worker",), JOBSCHED_WORKERS="1",
                                   JOBSCHED_TASKS=NEWER, **QUICK))
        until_completed(40)
    assert {job(id_).attempt for id_ in ids} == {1}
    assert starts(book) == dict.fromkeys(ids, 1)
    assert {job(id_).error for id_ in ids} == {None}


@pytest.mark.slow
@only_sqlite
def test_retried_and_scheduled_jobs_wait_for_who_knows_their_task_as_well(
    settings: Settings, ledger: object, board: Board, tmp_path: Path
) -> None:
    people()
    book = tmp_path / "book"
    (tmp_path / "newer").mkdir()
    with ExitStack() as stack:
        stack.enter_context(engine(settings, tmp_path, JOBSCHED_WORKERS="1", **QUICK))
        eventually(lambda: board.presence.alive("worker"), 40)
        wish = JobDraft(1, 1, 0.001, "new_task", {"book": str(book)}, run_at=utcnow())
        ids = post(settings, board, wish, draft("new_task", book=str(book)))
        with writing() as session:
            submit.cancel(session, board, ids[1])
        with writing() as session:
            submit.retry(session, board, ids[1], settings)
        eventually(lambda: len([id_ for id_ in ids if isinstance(board.view.why(id_), Aside)]) == 2, 30)

        stack.enter_context(engine(settings, tmp_path / "newer", ("worker",), JOBSCHED_WORKERS="1",
                                   JOBSCHED_TASKS=NEWER, **QUICK))
        until_completed(2)
    assert [job(id_).attempt for id_ in ids] == [1, 1]
    assert new_task is tasks.find("new_task").function
    assert not isinstance(board.view.why(ids[0]), Flying)
