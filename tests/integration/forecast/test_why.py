"""The board's answer to why a job waits and when it will start, on fakeredis and on a real Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from jobsched.board import PREFIX, Board, Flying, Waiting
from jobsched.domain import SiteFacts, Slice
from jobsched.policy import POLICIES
from tests.support import BANDS, TIERS, install, take, waiting_job

NOW = 1_700_000_000.0
LANE = "task_04"


def waiting(board: Board, job: int) -> Waiting:
    """What is told of a job that waits."""
    told = board.view.why(job)
    assert isinstance(told, Waiting)
    return told


def serve(board: Board, slice_: Slice, used_s: float) -> None:
    """A worker starts the slice now, and ends it ``used_s`` later."""
    assert board.renew(slice_.id, 9.0)
    board.now = (board.now or 0.0) + used_s
    assert board.settle(slice_.id, used_s)


def state(redis: Redis) -> dict[bytes, Any]:
    """All that Redis holds."""
    readers = {b"hash": redis.hgetall, b"string": redis.get, b"set": redis.smembers,
               b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
               b"list": lambda key: redis.lrange(key, 0, -1)}
    return {key: readers[redis.type(key)](key) for key in redis.scan_iter()}


# Where it stands


def test_places_count_from_the_next(board: Board) -> None:
    board.place([waiting_job(1, site=1), waiting_job(2, site=1), waiting_job(3, site=2)])
    take(board)  # of one site: the other is next

    first, second = sorted((waiting(board, job) for job in (1, 2, 3) if isinstance(board.view.why(job), Waiting)),
                           key=lambda told: told.site_place or 0)

    assert (first.site_place, second.site_place) == (1, 2)
    assert (first.sites, first.flying, first.crew) == (2, 1, None)
    assert (first.place, second.place) == (1, 1)


def test_the_parts_add_up_to_the_score_of_the_site(board_redis: Redis) -> None:
    for policy in POLICIES:
        board_redis.flushall()
        board = install(Board(board_redis, now=NOW), policy)
        board.place(waiting_job(job, site=job % 3, enqueued_at=NOW - job) for job in range(1, 9))
        take(board)
        [row, *_] = board.view.ranking(LANE, 1)
        answers = map(board.view.why, range(1, 9))
        told = next(told for told in answers if isinstance(told, Waiting) and told.site == row.site)
        assert told.boost + told.share + told.age + told.size == pytest.approx(row.score, rel=1e-12)
        assert told.policy == policy
        assert told.ages == -POLICIES[policy].age * NOW


def test_what_is_in_flight_is_told_with_its_slice(board: Board) -> None:
    board.place([waiting_job(1)])
    [slice_] = take(board)

    queued = board.view.why(1)
    board.renew(slice_.id, 9.0)
    started = board.view.why(1)
    board.settle(slice_.id, 1.0)

    assert isinstance(queued, Flying)
    assert (queued.slice, queued.band, queued.started) == (slice_.id, LANE, False)
    assert queued.half_s is not None
    assert queued.most_s is not None
    assert 0 < queued.half_s <= queued.most_s
    assert started == Flying(slice_.id, LANE, True, None, None)
    assert board.view.why(1) is None


def test_a_job_behind_others_in_a_slice_starts_after_them(board: Board) -> None:
    board.place([waiting_job(1, execution_time=0.2), waiting_job(2, execution_time=0.2)])
    take(board, budget_s=1.0)

    first, second = board.view.why(1), board.view.why(2)

    assert first is not None
    assert second is not None
    assert second.half_s == pytest.approx((first.half_s or 0) + 0.2)


def test_nobody_knows_a_job_that_was_never_placed(board: Board) -> None:
    assert board.view.why(77) is None


# What holds it


@pytest.mark.parametrize(("facts", "told"), [
    ({"paused": True}, {"paused": True}),
    ({"max_running": 1}, {"running": 1, "max_running": 1}),
    ({"rate_per_s": 0.1}, {"due": NOW + 10}),
    ({"paused": True, "max_running": 1, "rate_per_s": 0.1}, {"paused": True, "max_running": 1, "due": NOW + 10}),
])
def test_each_limit_of_the_site_is_told(board: Board, facts: dict[str, Any], told: dict[str, Any]) -> None:
    board.now = NOW
    site = SiteFacts(1, 1, **facts)
    board.update_sites([replace(site, paused=False)])
    board.place([waiting_job(1), waiting_job(2)])
    take(board)
    board.update_sites([site])

    found = waiting(board, 2)

    assert found.site_place is None
    assert {name: getattr(found, name) for name in told} == told


def test_a_paused_lane_is_told(board: Board) -> None:
    board.place([waiting_job(1)])
    board.rules.pause_lanes([LANE])
    assert waiting(board, 1).lane_paused


@pytest.mark.parametrize("stop", [
    lambda board: board.rules.pause_lanes([LANE]),
    lambda board: board.rules.set_listeners({LANE: 0}),
    lambda board: board.update_sites([SiteFacts(1, 1, paused=True)]),
])
def test_nothing_is_expected_where_nothing_would_start_it(board: Board, stop: Any) -> None:
    board.place([waiting_job(1)])
    stop(board)
    assert (waiting(board, 1).half_s, waiting(board, 1).most_s) == (None, None)
    assert board.view.prospect(1, LANE, 1.0) is None


# When it starts


def test_more_before_it_means_a_later_start_and_more_workers_a_sooner_one(board: Board) -> None:
    board.now = NOW
    board.rules.set_listeners({LANE: 1})
    board.place(waiting_job(job) for job in range(1, 41))
    front, back = waiting(board, 5).half_s, waiting(board, 40).half_s
    board.rules.set_listeners({LANE: 8})
    assert front is not None
    assert back is not None
    assert back > 4 * front
    assert (waiting(board, 40).half_s or 0) == pytest.approx(back / 8)


def test_a_prospect_is_what_a_job_at_the_end_of_the_line_is_told(board: Board) -> None:
    board.now = NOW
    board.rules.set_listeners({LANE: 2})
    board.place(waiting_job(job) for job in range(1, 10))
    before = board.view.prospect(1, LANE, 1.0)
    board.place([waiting_job(10)])
    told = waiting(board, 10)
    assert before == pytest.approx((told.half_s, told.most_s))


def test_the_limits_of_the_site_put_the_start_off(board: Board) -> None:
    board.now = NOW
    board.rules.set_listeners({LANE: 8})
    board.update_sites([SiteFacts(1, 1, rate_per_s=0.1)])
    board.place(waiting_job(job) for job in range(1, 12))
    take(board)
    told = waiting(board, 11)
    assert told.half_s is not None
    assert told.half_s >= 100  # ten jobs, one each ten seconds


def test_half_the_pace_is_learnt_from_ends(board: Board) -> None:
    board.now = NOW
    board.rules.set_listeners({LANE: 1})
    board.place(waiting_job(job) for job in range(1, 200))
    before = waiting(board, 199).half_s
    for _ in range(60):  # each takes twice as long as it says
        [slice_] = take(board)
        serve(board, slice_, 2.0)
    after = waiting(board, 199).half_s
    assert before is not None
    assert after is not None
    # 139 jobs are left instead of 199: at the first pace that would be a good two thirds of what was told.
    assert after > 1.1 * before


def crowd(board: Board, slices: int) -> list[Slice]:
    """So many workers take a slice each and start it, all now."""
    taken = take(board, slices=slices)
    for slice_ in taken:
        assert board.renew(slice_.id, 99.0)
    return taken


def serve_all(board: Board, slices: Sequence[Slice]) -> None:
    """The workers end their slices a second later."""
    board.now = (board.now or 0.0) + 1.0
    for slice_ in slices:
        assert board.settle(slice_.id, 1.0)


def test_that_idle_workers_start_at_once_is_not_taken_for_their_pace(board: Board) -> None:
    board.now = NOW
    board.rules.set_listeners({LANE: 4})
    board.place(waiting_job(job) for job in range(1, 41))
    crowd(board, 4)
    # 36 s of work for four workers, who are busy for another second: job 40 starts after 9 or 10.
    assert 8 <= (waiting(board, 40).half_s or 0) <= 12


def test_what_a_held_site_has_waiting_is_not_left_undone_by_the_workers(board: Board) -> None:
    board.now = NOW
    board.rules.set_listeners({LANE: 4})
    board.update_sites([SiteFacts(9, 1, paused=True)])
    board.place([waiting_job(900, site=9), *(waiting_job(job) for job in range(1, 9))])
    serve_all(board, crowd(board, 4))
    serve_all(board, crowd(board, 4))
    board.now += 600.0  # nobody has anything to do
    board.place(waiting_job(job) for job in range(101, 141))
    serve_all(board, crowd(board, 4))
    crowd(board, 4)
    # 32 s of work for four workers, who are busy for another second.
    assert 7 <= (waiting(board, 140).half_s or 0) <= 20


def test_what_was_told_wrong_lately_is_told_longer(board: Board) -> None:
    board.now = NOW
    board.rules.set_listeners({LANE: 1})

    def told_and_served(wait_s: float) -> float:
        assert board.now is not None
        job = waiting_job()
        board.place([job])
        told = waiting(board, job.id).most_s or 0.0
        board.now += wait_s
        [slice_] = take(board)
        serve(board, slice_, 1.0)
        return told

    first = told_and_served(3.0)
    later = [told_and_served(3.0) for _ in range(30)][-1]

    assert first < 3
    assert later > 3


# What is kept of it


def test_nothing_of_those_asked_is_left_when_nothing_waits(board: Board, board_redis: Redis) -> None:
    board.now = NOW
    jobs = [waiting_job() for _ in range(12)]
    for job in jobs:  # each a while after the other: so many may be asked
        board.place([job])
        board.now += 0.1
    assert board_redis.hlen(f"{PREFIX}asked") == 12
    board.drop(job.id for job in jobs[:4])
    for slice_ in take(board, slices=4):
        serve(board, slice_, 1.0)
    for slice_ in take(board, slices=4):
        board.settle(slice_.id, None)  # its worker never started it
    assert board.view.lanes()[3].waiting == 0
    assert [key for key in board_redis.scan_iter() if b"asked" in key] == []


def test_however_much_comes_few_are_asked(board: Board, board_redis: Redis) -> None:
    board.now = NOW
    board.place(waiting_job() for _ in range(600))
    for _ in range(20):
        board.place([waiting_job()])
    assert board_redis.hlen(f"{PREFIX}asked") == 1


def test_a_rebuilt_board_asks_nobody(board: Board, board_redis: Redis) -> None:
    board.place([waiting_job()], arriving=False)
    assert not board_redis.exists(f"{PREFIX}asked")


placed = st.tuples(st.just("place"), st.integers(1, 4), st.sampled_from([0.0005, 0.05, 0.3, 1.0, 2.7, 10.0]),
                   st.integers(1, 40))
taken = st.tuples(st.just("take"), st.sampled_from([band.name for band in BANDS]), st.integers(1, 4))
started = st.tuples(st.just("start"), st.integers(0, 20))
settled = st.tuples(st.just("settle"), st.integers(0, 20), st.sampled_from([None, 0.0, 0.3, 30.0]))
told = st.tuples(st.just("tell"), st.integers(1, 4), st.sampled_from([None, 0, 1, 5]),
                 st.sampled_from([None, 0.001, 3.0]), st.booleans())
passed = st.tuples(st.just("pass"), st.sampled_from([0.0, 0.004, 1.0, 1000.0, -5.0]))
paused = st.tuples(st.just("pause"), st.sampled_from([(), ("task_01",), ("task_04", "task_05")]))
staffed = st.tuples(st.just("workers"), st.sampled_from([0, 1, 3, 1000]))
moved = st.tuples(st.just("policy"), st.sampled_from(sorted(POLICIES)))
step = st.one_of(placed, placed, taken, taken, started, started, settled, told, passed, paused, staffed, moved)
steps = st.lists(step, min_size=4, max_size=40)


class Anything:
    """A board to which anything happens."""

    def __init__(self, board: Board) -> None:
        self.board, self.jobs, self.slices = board, 0, ["none"]

    def do(self, step: Sequence[Any]) -> None:
        getattr(self, str(step[0]))(*step[1:])

    def place(self, site: int, seconds: float, copies: int) -> None:
        fresh = range(self.jobs + 1, self.jobs + copies + 1)
        self.jobs += copies
        self.board.place(waiting_job(job, site=site, execution_time=seconds, enqueued_at=NOW) for job in fresh)

    def take(self, band: str, slices: int) -> None:
        self.slices += [slice_.id for slice_ in take(self.board, band, slices, budget_s=0.6)]

    def start(self, index: int) -> None:
        self.board.renew(self.slices[index % len(self.slices)], 9.0)

    def settle(self, index: int, used_s: float | None) -> None:
        self.board.settle(self.slices[index % len(self.slices)], used_s)

    def tell(self, site: int, most: int | None, rate: float | None, held: bool) -> None:
        self.board.update_sites([SiteFacts(site, 1, max_running=most, rate_per_s=rate, paused=held)])

    def pause(self, bands: Sequence[str]) -> None:
        self.board.rules.pause_lanes(bands)

    def workers(self, workers: int) -> None:
        self.board.rules.set_listeners({band.name: workers for band in BANDS})

    def policy(self, name: str) -> None:
        self.board.rules.change_policy(POLICIES[name], BANDS, TIERS)

    def __getattr__(self, name: str) -> Any:
        assert name == "pass"  # a keyword
        return self._pass

    def _pass(self, seconds: float) -> None:
        assert self.board.now is not None
        self.board.now += seconds


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_whatever_happens_an_answer_can_be_had_and_changes_nothing(steps: list[Any], board_redis: Redis) -> None:
    board_redis.flushall()
    board = install(Board(board_redis, now=NOW), "balanced")
    anything = Anything(board)
    for step in steps:
        anything.do(step)
    before = state(board_redis)
    answers = [board.view.why(job) for job in range(1, anything.jobs + 2)]
    prospects = [board.view.prospect(site, band.name, band.bound_s) for site in (1, 9) for band in BANDS]
    assert state(board_redis) == before
    for told in filter(None, answers):
        assert (told.half_s is None) == (told.most_s is None)
        assert told.half_s is None or 0 <= told.half_s <= (told.most_s or 0) < float("inf")
    assert all(told is None or 0 <= told[0] <= told[1] < float("inf") for told in prospects)
