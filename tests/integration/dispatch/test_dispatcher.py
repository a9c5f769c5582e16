"""A tick: from the board to the RQ queues, no further than the windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from redis import Redis

from jobsched.board import PREFIX, Board
from jobsched.config import Settings
from jobsched.dispatch.dispatcher import ALIVE_S, Dispatcher
from jobsched.domain import Bands, tiers_of
from jobsched.queues import lanes
from tests.engine import draft, insert, job, people, post
from tests.support import BANDS, eventually

pytestmark = pytest.mark.usefixtures("ledger", "task_names")


@pytest.fixture
def task_names() -> None:
    import tests.engine_tasks  # noqa: F401


@pytest.fixture
def board(redis: Redis) -> Board:
    return Board(redis)


@pytest.fixture(autouse=True)
def _people(ledger: object) -> None:
    people(sites=4)


@pytest.fixture
def dispatcher(settings: Settings, board: Board, redis: Redis) -> Dispatcher:
    """One that has ticked once, so that there is a board."""
    dispatcher = Dispatcher(settings, board, redis)
    dispatcher.tick()
    return dispatcher


def queued(redis: Redis) -> dict[str, list[lanes.SliceJob]]:
    """What stands in the lanes' RQ queues, by band name."""
    return {
        band.name: [lanes.SliceJob.fetch(id_.decode(), connection=redis)
                    for id_ in redis.lrange(f"rq:queue:{band.queue}", 0, -1)]
        for band in BANDS
    }


def jobs_in(slice_: lanes.SliceJob) -> list[int]:
    return [fence[0] for fence in slice_.args[5]]


def workers(redis: Redis, band: str, count: int) -> None:
    redis.sadd(f"rq:workers:{band}", *(f"rq:worker:{i}" for i in range(count)))


def test_a_tick_with_nothing_to_do_hands_over_nothing(dispatcher: Dispatcher, redis: Redis) -> None:
    assert 0 < dispatcher.tick() <= 1
    assert dispatcher.dispatch() == 0
    assert redis.keys("rq:*") == []


def test_a_tick_fills_every_window_and_goes_no_further(
    dispatcher: Dispatcher, settings: Settings, board: Board, redis: Redis
) -> None:
    workers(redis, "band-1ms", 2)  # ceil(2 * 0.15 / 0.1) = 3 slices
    for execution_time in (0.001, 5.0):
        post(settings, board, *(draft(site=site, user=site, execution_time=execution_time)
                                for site in range(1, 5) for _ in range(150)))

    dispatcher.tick()
    dispatcher.tick()

    assert {band: len(slices) for band, slices in queued(redis).items()} == {
        "task_01": 3, "task_02": 0, "task_03": 0, "task_04": 0, "task_05": 1,
    }
    assert [len(jobs_in(slice_)) for slice_ in queued(redis)["task_01"]] == [100, 100, 100]  # 100 * 1 ms = the budget
    assert len(jobs_in(queued(redis)["task_05"][0])) == 1
    assert set(board.upkeep.flying()) == {slice_.id for slices in queued(redis).values() for slice_ in slices}


def test_what_a_worker_popped_is_replaced(
    dispatcher: Dispatcher, settings: Settings, board: Board, redis: Redis
) -> None:
    ids = post(settings, board, *(draft(execution_time=5.0) for _ in range(3)))

    seen = []
    for _ in range(3):
        dispatcher.tick()
        (slice_,) = queued(redis)["task_05"]
        seen += jobs_in(slice_)
        redis.lpop("rq:queue:band-10s")
    dispatcher.tick()

    assert sorted(seen) == ids
    assert queued(redis)["task_05"] == []


def test_a_slice_holds_jobs_of_one_site_and_the_best_site_goes_first(
    dispatcher: Dispatcher, settings: Settings, board: Board, redis: Redis
) -> None:
    workers(redis, "band-1ms", 2)
    post(settings, board, draft(site=1, user=1))
    busy = post(settings, board, *(draft(site=2, user=2) for _ in range(4)))  # more points
    post(settings, board, draft(site=3, user=3))
    best = [ranked.site for ranked in board.view.ranking("task_01", 3)]

    dispatcher.tick()

    slices = queued(redis)["task_01"]
    assert best[0] == 2
    assert jobs_in(slices[0]) == busy
    assert [slice_.args[1] for slice_ in slices] == best
    assert slices[0].args[3] == 1 + 4 * 5 + 1  # its points: tier Active, four jobs of weight 5, capacity 1


def test_a_job_that_is_submitted_or_settled_rings(
    dispatcher: Dispatcher, settings: Settings, board: Board, redis: Redis
) -> None:
    redis.delete(f"{PREFIX}doorbell")
    post(settings, board, draft())
    assert board.wait(1)
    assert not board.wait(0.01)

    dispatcher.tick()
    (slice_,) = queued(redis)["task_01"]
    board.renew(slice_.id, 10)  # its worker has begun: there is room in the window
    assert board.wait(1)
    board.renew(slice_.id, 10)
    assert not board.wait(0.01)
    board.settle(slice_.id, 0.1)
    assert board.wait(1)


def test_two_dispatchers_hand_every_job_over_once(settings: Settings, board: Board, redis: Redis) -> None:
    both = [Dispatcher(settings, Board(redis), redis) for _ in range(2)]
    both[0].tick()
    ids = post(settings, board, *(draft(site=1 + i % 4, user=1 + i % 4, execution_time=1.0) for i in range(20)))

    seen: list[int] = []
    for _ in range(30):
        for dispatcher in both:
            dispatcher.tick()
        for slice_ in queued(redis)["task_04"]:
            seen += jobs_in(slice_)
        redis.delete("rq:queue:band-1s")

    assert sorted(seen) == ids


# A board that is lost, or other than the settings


def test_the_first_tick_makes_the_board_and_places_what_waits(settings: Settings, board: Board, redis: Redis) -> None:
    ids = insert(settings, draft(), draft(execution_time=5.0))

    Dispatcher(settings, board, redis).tick()

    assert board.rules.read().policy == "balanced"
    assert board.upkeep.known(ids) == set(ids)
    assert [jobs_in(slice_) for slices in queued(redis).values() for slice_ in slices] == [[ids[0]], [ids[1]]]


def test_it_survives_the_loss_of_the_board(
    dispatcher: Dispatcher, settings: Settings, board: Board, redis: Redis
) -> None:
    ids = post(settings, board, *(draft(site=1 + i % 4, user=1 + i % 4, execution_time=1.0) for i in range(300)))
    redis.flushall()

    dispatcher.tick()
    dispatcher.tick()

    assert board.upkeep.known(ids) == set(ids)
    assert len(queued(redis)["task_04"]) == 1


def test_other_bands_in_the_settings_move_jobs_and_build_the_board_again(
    dispatcher: Dispatcher, settings: Settings, board: Board, redis: Redis
) -> None:
    short, long = post(settings, board, draft(execution_time=0.05), draft(execution_time=5.0))
    epoch = board.rules.read().epoch
    bands = Bands.of([0.05, 10.0])

    Dispatcher(dataclasses.replace(settings, bands=bands), board, redis).tick()

    assert (job(short).band, job(long).band) == ("task_01", "task_02")
    assert board.rules.read().bands == ("task_01", "task_02")
    assert board.rules.read().epoch != epoch
    assert board.upkeep.known([short, long]) == {short, long}
    assert redis.lrange("rq:queue:band-50ms", 0, -1) != []


@pytest.mark.parametrize("change", [
    lambda s: dataclasses.replace(s, policy="fifo"),
    lambda s: dataclasses.replace(s, tiers=tiers_of([2, 3])),
    lambda s: dataclasses.replace(s, bands=Bands.of([0.001, 0.01, 0.1, 1, 20])),
])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_other_rules_in_the_settings_score_what_waits_anew(
    dispatcher: Dispatcher, settings: Settings, board: Board, redis: Redis, change: Callable[[Settings], Settings]
) -> None:
    ids = post(settings, board, *(draft(execution_time=5.0) for _ in range(4)))
    print_ = board.rules.read().fingerprint

    Dispatcher(change(settings), board, redis).tick()
    Dispatcher(change(settings), board, redis).tick()

    assert board.rules.read().fingerprint != print_
    assert board.upkeep.known(ids) == set(ids)
    assert board.upkeep.recount(1) + board.upkeep.recount_lanes(100) == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_same_rules_keep_the_board_as_it_is(
    dispatcher: Dispatcher, settings: Settings, board: Board, redis: Redis
) -> None:
    (id_,) = post(settings, board, draft(execution_time=5.0))
    dispatcher.tick()
    epoch, flying = board.rules.read().epoch, board.upkeep.flying()

    Dispatcher(settings, board, redis).tick()

    assert (board.rules.read().epoch, board.upkeep.flying()) == (epoch, flying)
    assert [job for _, jobs in flying.values() for job in jobs] == [id_]


# Signs of life


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_dispatcher_is_alive_from_tick_to_rest(dispatcher: Dispatcher, board: Board) -> None:
    assert board.presence.alive("dispatcher") == [dispatcher.name]

    dispatcher.rest()

    assert board.presence.alive("dispatcher") == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_does_not_show_itself_is_not_alive_any_more(dispatcher: Dispatcher, board: Board) -> None:
    assert ALIVE_S > 2
    board.presence.beat("dispatcher", "gone", 0.01)

    eventually(lambda: board.presence.alive("dispatcher") == [dispatcher.name])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_it_sweeps_no_more_often_than_it_should(settings: Settings, board: Board, redis: Redis) -> None:
    dispatcher = Dispatcher(dataclasses.replace(settings, repair_every_s=3600.0), board, redis)
    dispatcher.tick()
    (id_,) = insert(settings, draft())

    dispatcher.tick()
    assert board.upkeep.known([id_]) == set()

    again = Dispatcher(dataclasses.replace(settings, repair_every_s=0.001), board, redis)
    again.tick()
    assert board.upkeep.known([id_]) == {id_}
