"""The board: a policy change at run time, after which all waiting jobs are scored again; and lost boards."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle
from threading import Event
from typing import Any

import pytest
from redis import Redis

from jobsched.board import PREFIX, Board, rulebook
from jobsched.domain import Bands, BoardLost, SiteFacts, Slice, tiers_of
from jobsched.policy import POLICIES
from tests.formula import line_score
from tests.support import BANDS, TIERS, eventually, ids, install, take, waiting_job

NOW = 1_700_000_000.0


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass takes many calls."""
    monkeypatch.setattr(rulebook, "BATCH", 5)


def change_policy(board: Board, policy: str) -> int:
    return board.rules.change_policy(POLICIES[policy], BANDS, TIERS)


def fill(board: Board, sites: int = 6, each: int = 8) -> list[int]:
    """Jobs of several users, times and ages at each site, of which some are in flight; the ids of all."""
    jobs = [
        waiting_job(site=site, user=10 * site + n % 3, execution_time=0.2 + (site * n) % 7 / 10,
                    enqueued_at=NOW + (n * 7 + site) % 11)
        for n in range(each) for site in range(1, sites + 1)
    ]
    board.place(jobs)
    for _ in range(3):
        take(board, slices=2)
    return [job.id for job in jobs]


def wrongly_scored(redis: Redis, policy: str) -> list[str]:
    """What does not stand where this policy puts it, as read from the raw data."""
    board = Board(redis)
    found = [] if board.rules.read().policy == policy else [f"the board goes by {board.rules.read().policy}"]
    for id_, packed in redis.hgetall(f"{PREFIX}jobs").items():
        site, _, band, seconds, _, enqueued_at, slice_id, tag = packed.decode().split()
        if slice_id == "-":
            weights = POLICIES[policy].weights(next(b for b in BANDS if b.name == band))
            right = line_score(float(tag), float(enqueued_at), float(seconds), weights)
            member = chr(64 + len(id_)) + id_.decode()
            score = redis.zscore(f"{PREFIX}line:{site}:{band}", member)
            found += [f"job {id_!r}: {score}, not {right}"] if score != pytest.approx(right, rel=1e-12) else []
    for band_ in BANDS:
        found += [f"site {row.site}: {row.score}" for row in board.view.ranking(band_.name, 100)
                  if row.score != pytest.approx(row.boost + row.share + row.age + row.size, rel=1e-12, abs=1e-9)]
    return found


def drain(board: Board) -> list[int]:
    """Everything that waits, in the order it is served."""
    served = []
    while slices := [slice_ for band in BANDS for slice_ in take(board, band.name, 3)]:
        served += [fence.job for slice_ in slices for fence in slice_.jobs]
        for slice_ in slices:
            board.settle(slice_.id, 0.1)
    return served


@pytest.mark.parametrize("to", sorted(POLICIES))
@pytest.mark.parametrize("from_", ["balanced", "shortest", "fifo"])
def test_all_that_waits_is_scored_by_the_new_policy(from_: str, to: str, board: Board, board_redis: Redis) -> None:
    change_policy(board, from_)
    jobs = fill(board)
    changed = change_policy(board, to)
    assert (changed > 0) == (from_ != to)
    assert wrongly_scored(board_redis, to) == []
    assert [board.upkeep.recount(site) for site in range(1, 7)] == [0] * 6
    flying = {job for _, jobs in board.upkeep.flying().values() for job in jobs}
    assert sorted(drain(board)) == sorted(set(jobs) - flying)


def test_a_line_is_served_in_the_order_of_the_new_policy(board: Board) -> None:
    install(board, "fifo")
    board.place([waiting_job(1, execution_time=0.9, enqueued_at=NOW), waiting_job(2, execution_time=0.2,
                 enqueued_at=NOW + 1), waiting_job(3, execution_time=0.5, enqueued_at=NOW + 2)])
    change_policy(board, "shortest")
    assert ids(take(board, slices=3)) == [[2], [3], [1]]


def test_a_board_that_goes_by_the_policy_already_is_left_alone(board: Board, board_redis: Redis) -> None:
    fill(board)
    board_redis.delete(f"{PREFIX}doorbell")
    assert change_policy(board, "balanced") == 0
    assert not board_redis.exists(f"{PREFIX}doorbell")


def test_a_change_keeps_the_epoch_what_flies_and_who_is_paused(board: Board, board_redis: Redis) -> None:
    fill(board)
    board.rules.pause_lanes(["task_05"])
    epoch, flying = board.rules.read().epoch, board.upkeep.flying()
    change_policy(board, "fair")
    assert (board.rules.read().epoch, board.upkeep.flying(), board.rules.read().built) == (epoch, flying, True)
    assert [lane.band for lane in board.view.lanes() if lane.paused] == ["task_05"]
    assert board_redis.exists(f"{PREFIX}doorbell")


def test_what_a_site_missed_under_the_old_policy_is_no_credit_under_the_new(board: Board) -> None:
    install(board, "fifo")
    board.place(waiting_job(site=1, user=1, enqueued_at=NOW) for _ in range(60))
    board.place(waiting_job(site=2, user=2, enqueued_at=NOW + 1) for _ in range(40))
    assert {slice_.site for slice_ in take(board, slices=30)} == {1}  # 30 s of service ahead of site 2
    change_policy(board, "fair")
    turns = [slice_.site for slice_ in take(board, slices=20)]
    assert abs(turns.count(1) - turns.count(2)) <= 2


def test_what_a_site_has_in_flight_is_not_forgiven(board: Board) -> None:
    install(board, "fair")
    board.update_sites([SiteFacts(1, 1), SiteFacts(2, 1)])
    board.place(waiting_job(site=site, user=site) for site in (1, 2) for _ in range(9))
    [first] = take(board)
    change_policy(board, "balanced")
    board.settle(first.id, 6.0)
    change_policy(board, "fair")
    # It has used 6 s where 1 s was estimated: the other gets as much first.
    assert [slice_.site for slice_ in take(board, slices=6)] == [3 - first.site] * 6


def test_a_held_site_stays_held_and_is_scored_when_it_is_let_go(board: Board, board_redis: Redis) -> None:
    board.update_sites([SiteFacts(1, 1, paused=True)])
    jobs = [waiting_job(site=1, execution_time=seconds) for seconds in (0.9, 0.2)]
    board.place(jobs)
    change_policy(board, "shortest")
    assert board.view.standing(1).hold == "paused"
    board.update_sites([SiteFacts(1, 1)])
    assert wrongly_scored(board_redis, "shortest") == []
    assert ids(take(board, slices=2)) == [[jobs[1].id], [jobs[0].id]]


def test_other_bands_or_tiers_are_refused(board: Board, board_redis: Redis) -> None:
    fill(board)
    for bands, tiers in ((Bands.of([1.0]), TIERS), (BANDS, tiers_of([2, 3]))):
        with pytest.raises(BoardLost):
            board.rules.change_policy(POLICIES["fair"], bands, tiers)
    assert wrongly_scored(board_redis, "balanced") == []


# A pass that does not come to its end, and passes at once


class Interrupted(Exception):
    """What ends a pass before its end."""


class Meddled(Board):
    """A board that does something else at the n-th call of a pass."""

    def meddle(self, at: int, do: Callable[[], object]) -> None:
        left, run = at, self._store.run

        def run_or_meddle(script: str, *args: Any) -> Any:
            nonlocal left
            left -= script.startswith("rescore")
            if script.startswith("rescore") and left == 0:
                do()
            return run(script, *args)

        self._store.run = run_or_meddle  # type: ignore[method-assign]


def interrupt() -> None:
    raise Interrupted


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("at", [1, 3, 9, 10, 11])
def test_a_pass_that_was_cut_off_is_made_again_by_the_next_call(at: int, board: Board, board_redis: Redis) -> None:
    fill(board)
    broken = Meddled(board_redis)
    broken.meddle(at, interrupt)
    with pytest.raises(Interrupted):
        change_policy(broken, "shortest")
    assert board.rules.read().rescoring

    change_policy(board, "shortest")

    assert wrongly_scored(board_redis, "shortest") == []
    assert board.rules.read().rescoring is None
    assert change_policy(board, "shortest") == 0


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("at", [1, 3, 9, 11])
def test_of_two_policies_at_once_the_later_stands(at: int, board: Board, board_redis: Redis) -> None:
    fill(board)
    slow = Meddled(board_redis)
    slow.meddle(at, lambda: change_policy(board, "fifo"))
    change_policy(slow, "shortest")
    assert wrongly_scored(board_redis, "fifo") == []
    assert board.rules.read().rescoring is None


@pytest.mark.usefixtures("small_batches")
def test_the_end_of_a_pass_is_not_that_of_a_later_policys(board: Board, board_redis: Redis) -> None:
    fill(board)
    first, second = Meddled(board_redis), Meddled(board_redis)

    def change_again() -> None:
        with pytest.raises(Interrupted):
            change_policy(second, "fifo")

    second.meddle(2, interrupt)
    first.meddle(5, change_again)
    change_policy(first, "shortest")
    assert board.rules.read().rescoring, "the sweep has to make the second pass again"
    change_policy(board, "fifo")
    assert wrongly_scored(board_redis, "fifo") == []


@pytest.mark.usefixtures("small_batches")
def test_a_pass_is_over_when_anybody_has_made_it(board: Board, board_redis: Redis) -> None:
    """Else two that take long could begin anew for ever, each finding the other's under way."""
    fill(board)
    first, second = Meddled(board_redis), Meddled(board_redis)

    def repeat() -> None:
        with pytest.raises(Interrupted):
            change_policy(second, "shortest")

    second.meddle(3, interrupt)  # begins while the first is under way, and does not come to its end
    first.meddle(5, repeat)
    change_policy(first, "shortest")
    assert board.rules.read().rescoring is None
    assert wrongly_scored(board_redis, "shortest") == []


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("at", [1, 4, 11])
def test_a_board_that_is_lost_during_a_pass_says_so_and_can_be_built_again(
    at: int, board: Board, board_redis: Redis
) -> None:
    fill(board)
    lost = Meddled(board_redis)
    lost.meddle(at, board_redis.flushall)
    with pytest.raises(BoardLost):
        change_policy(lost, "shortest")
    install(board, "shortest")
    fill(board)
    assert wrongly_scored(board_redis, "shortest") == []


def test_a_board_whose_building_was_cut_off_is_scored_again_by_the_policy_that_was_chosen_since(
    board: Board, board_redis: Redis
) -> None:
    board.wipe()
    board.rules.install(POLICIES["fifo"], BANDS, TIERS)
    board.place([waiting_job(1, execution_time=0.9), waiting_job(2, execution_time=0.2)])
    install(board, "shortest")
    board.place([waiting_job(3, execution_time=0.5)])
    change_policy(board, "shortest")
    assert wrongly_scored(board_redis, "shortest") == []
    assert ids(take(board, slices=3)) == [[2], [3], [1]]


def test_a_site_that_is_forgotten_during_a_pass_stays_so(board: Board, board_redis: Redis) -> None:
    [job] = [waiting_job(site=1)]
    board.place([job])
    slow = Meddled(board_redis)

    def end_it() -> None:
        board.drop([job.id])
        board.forget_site(1)

    slow.meddle(2, end_it)  # the pass has read that it waits
    change_policy(slow, "shortest")
    assert not board_redis.exists(f"{PREFIX}site:1")


def place_all(redis: Redis, first_id: int) -> list[int]:
    for n in range(60):
        Board(redis).place(waiting_job(first_id + 5 * n + i, site=1 + (n + i) % 5, user=i, execution_time=0.2 + i / 10)
                           for i in range(5))
    return list(range(first_id, first_id + 300))


def serve_until(done: Event, redis: Redis, taken: list[int]) -> None:
    board = Board(redis)
    while not done.is_set():
        for slice_ in take(board, slices=2):
            taken.extend(fence.job for fence in slice_.jobs)
            board.settle(slice_.id, 0.1)


def change_until(done: Event, redis: Redis) -> None:
    board = Board(redis)
    for policy in cycle(sorted(POLICIES)):
        if done.is_set():
            return
        change_policy(board, policy)


def test_while_policies_change_every_job_is_taken_once(redis: Redis) -> None:
    board = install(Board(redis), "balanced")
    done: Event = Event()
    taken: list[int] = []
    with ThreadPoolExecutor() as pool:
        others = [pool.submit(serve_until, done, redis, taken), pool.submit(serve_until, done, redis, taken),
                  pool.submit(change_until, done, redis)]
        try:
            placed = [id_ for ids_ in pool.map(partial(place_all, redis), (1000, 2000, 3000)) for id_ in ids_]
            eventually(lambda: len(taken) >= len(placed))
        finally:
            done.set()
        for other in others:
            other.result()

    assert sorted(taken) == placed
    assert [(lane.waiting, lane.flying, lane.sites) for lane in board.view.lanes()] == [(0, 0, 0)] * len(BANDS)
    assert not redis.exists(f"{PREFIX}jobs")


# A board that is lost, or of another shape

ASKED: list[tuple[str, Callable[[Board], object]]] = [
    ("rules", lambda b: b.rules.read()), ("lanes", lambda b: b.view.lanes()),
    ("why", lambda b: b.view.why(1)), ("standing", lambda b: b.view.standing(1)),
    ("ranking", lambda b: b.view.ranking("task_04", 5)), ("place", lambda b: b.place([waiting_job()])),
    ("take", take), ("renew", lambda b: b.renew("x", 1.0)), ("settle", lambda b: b.settle("x", 1.0)),
    ("drop", lambda b: b.drop([1])), ("release", lambda b: b.release()),
    ("change_policy", lambda b: change_policy(b, "fair")), ("pause_lanes", lambda b: b.rules.pause_lanes(["task_04"])),
    ("update_sites", lambda b: b.update_sites([SiteFacts(1, 1)])),
    ("update_users", lambda b: b.update_users([(1, False)])), ("recount", lambda b: b.upkeep.recount(1)),
    ("recount_lanes", lambda b: b.upkeep.recount_lanes(9)), ("age_s", lambda b: b.rules.age_s()),
    ("adopt", lambda b: b.adopt(Slice("x", 1, "task_04", 0, NOW, ()), [], 9.0)),
]


@pytest.mark.parametrize("ask", [ask for _, ask in ASKED], ids=[name for name, _ in ASKED])
def test_a_lost_board_says_so(ask: Callable[[Board], object], board: Board, board_redis: Redis) -> None:
    board_redis.flushall()
    with pytest.raises(BoardLost):
        ask(board)
    board.rules.set_listeners({"task_04": 2})  # which writes among the rules, and makes none of it
    with pytest.raises(BoardLost):
        ask(board)


@pytest.mark.parametrize("ask", [ask for name, ask in ASKED if name != "age_s"],
                         ids=[name for name, _ in ASKED if name != "age_s"])
def test_a_board_of_another_shape_is_a_lost_one(
    ask: Callable[[Board], object], board: Board, board_redis: Redis
) -> None:
    """What another version has written is neither read nor changed."""
    board_redis.hdel(f"{PREFIX}rules", "shape")
    board_redis.hset(f"{PREFIX}jobs", "1", "1 1 task_04 1.0 0 1700000000.0 -")  # it wrote seven fields
    with pytest.raises(BoardLost):
        ask(board)
    assert {key.decode() for key in board_redis.keys("*")} == {f"{PREFIX}rules", f"{PREFIX}jobs"}


def test_to_install_wipes_a_board_of_another_shape(board: Board, board_redis: Redis) -> None:
    board_redis.hset(f"{PREFIX}rules", "shape", "1")
    board_redis.hset(f"{PREFIX}jobs", "1", "1 1 task_04 1.0 0 1700000000.0 -")
    install(board, "balanced")
    assert board.place([waiting_job(1)]) == 1
    assert ids(take(board, slices=2)) == [[1]]


def test_a_board_that_is_installed_again_is_not_whole_until_it_is_said_to_be(board: Board) -> None:
    assert board.rules.read().built
    board.rules.install(POLICIES["balanced"], BANDS, TIERS)
    assert not board.rules.read().built
