"""The policy and pauses that operators set: SQL stores them, the board follows, and the sweep makes sure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from redis import Redis

from jobsched.board import PREFIX, Board, Rules
from jobsched.config import Settings
from jobsched.dispatch.dispatcher import IDLE_S, Dispatcher
from jobsched.dispatch.repair import Sweeper
from jobsched.domain import Bands
from jobsched.intake import controls, submit
from jobsched.ledger.database import reading, writing
from jobsched.ledger.models import Control, Site
from jobsched.policy import POLICIES
from jobsched.queues import lanes
from tests.engine import draft, insert, people, post
from tests.support import BANDS, install

pytestmark = pytest.mark.usefixtures("ledger", "task_names")
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def task_names() -> None:
    import tests.engine_tasks  # noqa: F401


@pytest.fixture
def board(redis: Redis, ledger: object) -> Board:
    people(sites=3)
    return install(Board(redis), "balanced")


@pytest.fixture
def sweeper(settings: Settings, board: Board, redis: Redis) -> Sweeper:
    sweeper = Sweeper(settings, board, redis)
    sweeper.sweep()
    return sweeper


def choose(policy: str | None) -> None:
    with writing() as session:
        controls.choose_policy(session, policy)


def pause(band: str, *, paused: bool = True) -> None:
    with writing() as session:
        controls.pause_lane(session, band, paused=paused)


def change_site(site: int, **limits: object) -> None:
    with writing() as session:
        for name, value in limits.items():
            setattr(session.get_one(Site, site), name, value)


def paused_on(board: Board) -> set[str]:
    return {lane.band for lane in board.view.lanes() if lane.paused}


def queued(redis: Redis) -> int:
    return sum(int(redis.llen(f"rq:queue:{band.queue}")) for band in BANDS)


# In SQL


def test_what_was_set_is_read_back(board: Board) -> None:
    with reading() as session:
        assert (controls.chosen_policy(session), controls.paused_lanes(session)) == (None, set())
    for policy in ("fair", "fifo"):
        choose(policy)
        pause("task_02")
        pause("task_04")
        pause("task_04", paused=False)
        with reading() as session:
            assert (controls.chosen_policy(session), controls.paused_lanes(session)) == (POLICIES[policy], {"task_02"})
    choose(None)
    choose(None)
    with reading() as session:
        assert controls.chosen_policy(session) is None


def test_what_was_set_is_seen_in_its_own_transaction(board: Board) -> None:
    choose("fair")
    with writing() as session:
        assert controls.chosen_policy(session) is POLICIES["fair"]
        controls.choose_policy(session, "fifo")
        assert controls.chosen_policy(session) is POLICIES["fifo"]
        controls.choose_policy(session, None)
        assert controls.chosen_policy(session) is None


def test_an_unknown_policy_is_refused(board: Board) -> None:
    with pytest.raises(KeyError):
        choose("best")


def test_a_policy_that_this_version_does_not_know_counts_as_none(
    board: Board, sweeper: Sweeper, settings: Settings, redis: Redis
) -> None:
    with writing() as session:
        session.add(Control(name="policy", value="of a later version"))
    assert controls.apply(board, settings) == 0
    redis.hset(f"{PREFIX}rules", mapping={"policy": "of a later version", "fingerprint": "its own"})
    sweeper.sweep()
    assert board.rules.read().policy == "balanced"


def test_operators_who_set_the_same_at_once_all_succeed(board: Board, ledger: Flask) -> None:
    def set_both(n: int) -> None:
        with ledger.app_context():
            pause("task_04", paused=n % 3 > 0)
            choose(["fair", "fifo", None][n % 3])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(set_both, range(30)))
    pause("task_04")
    with reading() as session:
        assert controls.paused_lanes(session) == {"task_04"}


# From SQL to the board


def test_the_board_is_told_what_was_set(board: Board, settings: Settings) -> None:
    post(settings, board, *(draft(site=site, user=site, execution_time=1.0) for site in (1, 2) for _ in range(3)))
    choose("fifo")
    pause("task_04")
    assert controls.apply(board, settings) > 0
    assert (board.rules.read().policy, paused_on(board)) == ("fifo", {"task_04"})
    assert controls.apply(board, settings) == 0
    choose(None)
    pause("task_04", paused=False)
    controls.apply(board, settings)
    assert (board.rules.read().policy, paused_on(board)) == (settings.policy, set())


def test_a_sweep_tells_the_board_what_it_missed(board: Board, sweeper: Sweeper) -> None:
    choose("fair")
    pause("task_01")
    assert sweeper.sweep()["controls"] > 0
    assert (board.rules.read().policy, paused_on(board)) == ("fair", {"task_01"})
    assert sweeper.sweep()["controls"] == 0


def test_a_sweep_leaves_the_policy_that_nobody_chose(board: Board, settings: Settings, redis: Redis) -> None:
    """Hosts whose settings differ would change it to and fro."""
    other = dataclasses.replace(settings, policy="fifo")
    assert Sweeper(other, board, redis).sweep()["controls"] == 0
    assert board.rules.read().policy == "balanced"


@on_sqlite
@pytest.mark.parametrize("policy", ["fair", "balanced"])  # the latter is also that of the settings
@pytest.mark.parametrize("told_by", [
    lambda settings, board: controls.apply(board, settings),
    lambda settings, board: controls.reapply(board, settings),
    lambda settings, board: (board.wipe(), controls.install(board, settings), board.rules.mark_built()),
])
def test_a_sweep_takes_back_a_choice_that_was_withdrawn_while_redis_was_away(
    board: Board, settings: Settings, redis: Redis, policy: str, told_by: Callable[[Settings, Board], object]
) -> None:
    choose(policy)
    told_by(settings, board)
    assert (board.rules.read().policy, board.rules.read().chosen) == (policy, True)
    choose(None)  # and nobody tells the board

    first, second = (dataclasses.replace(settings, policy=name) for name in ("shortest", "fifo"))
    assert controls.in_force(board, first) == controls.InForce(POLICIES["shortest"], chosen=False)
    for host in (first, second, first):
        Sweeper(host, board, redis).sweep()
        rules = board.rules.read()
        assert (rules.policy, rules.chosen) == ("shortest", False), "the first one's, from then on"


@on_sqlite
def test_a_choice_that_the_board_never_heard_of_leaves_its_policy_when_it_is_withdrawn(
    board: Board, settings: Settings, redis: Redis
) -> None:
    choose("fair")
    choose(None)
    assert Sweeper(dataclasses.replace(settings, policy="fifo"), board, redis).sweep()["controls"] == 0
    assert (board.rules.read().policy, board.rules.read().chosen) == ("balanced", False)


@on_sqlite
def test_a_choice_made_while_a_sweep_looks_is_not_taken_for_one_that_was_withdrawn(
    board: Board, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = board.rules.read

    def choose_then() -> Rules:
        monkeypatch.setattr(board.rules, "read", read)
        found = read()
        choose("fair")
        controls.apply(board, settings)
        return found

    monkeypatch.setattr(board.rules, "read", choose_then)
    controls.reapply(board, dataclasses.replace(settings, policy="fifo"))
    assert (board.rules.read().policy, board.rules.read().chosen) == ("fair", True)


@on_sqlite
def test_a_sweep_by_other_bands_tells_what_is_paused_and_goes_on(
    board: Board, settings: Settings, redis: Redis
) -> None:
    (job,) = insert(settings, draft(execution_time=1.0))
    choose("fair")
    pause("task_01")
    other = dataclasses.replace(settings, bands=Bands.of([0.5, 10.0]))
    assert Sweeper(other, board, redis).sweep()["not_on_the_board"] == 1
    assert (board.rules.read().policy, paused_on(board), board.upkeep.known([job])) == ("balanced", {"task_01"}, {job})


def test_a_pass_that_was_cut_off_is_completed_by_a_sweep(
    board: Board, sweeper: Sweeper, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = post(settings, board, *(draft(execution_time=seconds) for seconds in (0.9, 0.2, 0.5)))
    choose("shortest")
    with monkeypatch.context() as patch:
        patch.setattr(type(board.rules), "_rescore", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            controls.apply(board, settings)
    assert board.rules.read().rescoring
    assert sweeper.sweep()["controls"] > 0
    assert board.rules.read().rescoring is None
    slices = board.take("task_04", 3, budget_s=0.0, lease_s=9.0)
    assert [fence.job for slice_ in slices for fence in slice_.jobs] == [jobs[1], jobs[2], jobs[0]]


def test_a_board_that_is_built_again_goes_by_what_was_set(
    board: Board, sweeper: Sweeper, settings: Settings, redis: Redis
) -> None:
    post(settings, board, *(draft(site=site, user=site, execution_time=1.0) for site in (1, 2, 3) for _ in range(2)))
    choose("fair")
    pause("task_03")
    change_site(1, paused=True)
    change_site(2, max_running=1, rate_per_s=0.001, burst=2)
    redis.flushall()
    assert sweeper.rebuild() == 6
    assert (board.rules.read().policy, paused_on(board)) == ("fair", {"task_03"})
    assert board.view.standing(1).hold == "paused"
    sites = [slice_.site for slice_ in board.take("task_04", 9, budget_s=0.0, lease_s=9.0)]
    assert sorted(sites) == [2, 3, 3]
    assert board.view.standing(2).hold == "max_running"
    assert sweeper.sweep()["facts"] == 0


def test_a_sweep_tells_the_limits_that_the_board_missed(board: Board, sweeper: Sweeper, settings: Settings) -> None:
    post(settings, board, *(draft(site=1, execution_time=1.0) for _ in range(3)))
    change_site(1, paused=True)
    assert sweeper.sweep()["facts"] == 1
    assert board.view.standing(1).hold == "paused"
    change_site(1, paused=False, max_running=2)
    sweeper.sweep()
    assert len(board.take("task_04", 9, budget_s=0.0, lease_s=9.0)) == 2


# Dispatchers


@on_sqlite
def test_a_dispatcher_hands_over_nothing_of_a_paused_lane_or_site(
    board: Board, settings: Settings, redis: Redis
) -> None:
    dispatcher = Dispatcher(settings, board, redis)
    pause("task_04")
    change_site(1, paused=True)
    dispatcher.tick()
    post(settings, board, draft(execution_time=1.0), draft(site=2, user=2, execution_time=1.0), draft())
    dispatcher.tick()
    assert queued(redis) == 0
    pause("task_04", paused=False)
    controls.apply(board, settings)
    dispatcher.tick()
    assert queued(redis) == 1
    assert board.view.standing(1).pending == {"task_04": 1, "task_01": 1}


@on_sqlite
def test_a_dispatcher_sleeps_no_longer_than_until_the_next_site_is_due(
    board: Board, settings: Settings, redis: Redis
) -> None:
    board.now = 1_700_000_000.0
    change_site(1, rate_per_s=5.0)
    change_site(2, rate_per_s=2.0)
    dispatcher = Dispatcher(settings, board, redis)
    assert dispatcher.tick() == min(IDLE_S, settings.repair_every_s)
    post(settings, board, *(draft(site=site, user=site) for site in (1, 2) for _ in range(5)))
    redis.sadd("rq:workers:band-1ms", *(f"rq:worker:{n}" for n in range(50)))
    handed = []
    for _ in range(6):
        delay = dispatcher.tick()
        handed.append((round(board.now - 1_700_000_000.0, 3), queued(redis)))
        board.now += delay
    assert handed == [(0.0, 2), (0.2, 3), (0.4, 4), (0.5, 5), (0.6, 6), (0.8, 7)]


@on_sqlite
def test_a_dispatcher_rings_itself_when_a_site_is_due(
    board: Board, settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis would wake it up to a tenth of a second late, and every time its site would get less than its rate."""
    wait, waits = Board.wait, []
    monkeypatch.setattr(Board, "wait", lambda self, timeout_s: waits.append((timeout_s, wait(self, timeout_s))))
    change_site(1, rate_per_s=5.0)
    dispatcher = Dispatcher(settings, board, redis)
    dispatcher.tick()
    dispatcher.sleep(0.01)
    post(settings, board, draft(), draft())
    delay = dispatcher.tick()
    redis.delete(f"{PREFIX}doorbell")
    dispatcher.sleep(delay)
    assert [timeout_s for timeout_s, _ in waits] == [0.01, IDLE_S]
    assert waits[1][1], "it was rung for"
    assert not redis.exists(f"{PREFIX}doorbell")


@on_sqlite
def test_a_start_by_other_settings_changes_the_policy_in_place(
    board: Board, settings: Settings, redis: Redis
) -> None:
    Dispatcher(settings, board, redis).tick()
    epoch = board.rules.read().epoch
    Dispatcher(dataclasses.replace(settings, policy="fifo"), board, redis).tick()
    assert (board.rules.read().policy, board.rules.read().epoch) == ("fifo", epoch)
    choose("fair")
    Dispatcher(dataclasses.replace(settings, policy="shortest"), board, redis).tick()
    assert board.rules.read().policy == "fair"


def of_a_former_version(redis: Redis, jobs: list[int]) -> None:
    """Have the board be as the version before this one kept it: other fields, and no word of its shape."""
    redis.hdel(f"{PREFIX}rules", "shape")
    redis.hset(f"{PREFIX}rules", "layout", "of another shape")
    for job in jobs:
        redis.hset(f"{PREFIX}jobs", str(job), "1 1 task_04 1.0 0 1700000000.0 -")


def test_a_board_of_a_former_version_is_built_again_at_a_start(
    board: Board, settings: Settings, redis: Redis
) -> None:
    jobs = post(settings, board, *(draft(execution_time=1.0) for _ in range(3)))
    of_a_former_version(redis, jobs)
    Dispatcher(settings, board, redis).tick()
    assert board.upkeep.known(jobs) == set(jobs)
    assert queued(redis) == 1
    assert board.upkeep.recount(1) + board.upkeep.recount_lanes(9) == 0


@on_sqlite
def test_a_dispatcher_that_meets_a_board_of_a_former_version_builds_it_again(
    board: Board, settings: Settings, redis: Redis
) -> None:
    dispatcher = Dispatcher(settings, board, redis)
    dispatcher.tick()
    jobs = post(settings, board, *(draft(execution_time=1.0) for _ in range(3)))
    of_a_former_version(redis, jobs)
    dispatcher.tick()
    dispatcher.tick()
    assert board.upkeep.known(jobs) == set(jobs)
    assert queued(redis) == 1


@pytest.mark.parametrize("wish", [
    lambda settings, board, job: post(settings, board, draft(execution_time=1.0)),
    lambda settings, board, job: cancel(board, job),
])
@on_sqlite
def test_clients_are_served_while_the_board_is_of_a_former_version(
    board: Board, settings: Settings, redis: Redis, wish: Callable[[Settings, Board, int], object]
) -> None:
    """The rows are what counts; the board gets them when it is built again."""
    (job,) = post(settings, board, draft(execution_time=1.0))
    of_a_former_version(redis, [job, job + 1])
    before = redis.hgetall(f"{PREFIX}jobs")
    wish(settings, board, job)
    assert redis.hgetall(f"{PREFIX}jobs") == before


def cancel(board: Board, job: int) -> None:
    with writing() as session:
        submit.cancel(session, board, job)


@on_sqlite
def test_a_slice_of_a_held_site_that_is_lost_frees_its_cap(
    board: Board, sweeper: Sweeper, settings: Settings, redis: Redis
) -> None:
    change_site(1, max_running=1)
    sweeper.sweep()
    jobs = post(settings, board, draft(execution_time=1.0), draft(execution_time=1.0))
    (slice_,) = board.take("task_04", 2, budget_s=0.0, lease_s=0.001)
    assert board.view.standing(1).hold == "max_running"
    assert not lanes.waits_in_queue(redis, BANDS[3], slice_.id)
    board.now = redis.time()[0] + 2.0
    assert sweeper.leases.expired() == 1
    assert (board.view.standing(1).hold, board.view.standing(1).running) == (None, 0)
    assert board.upkeep.known(jobs) == set(jobs)
