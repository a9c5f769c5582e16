"""Workers run only what jobsched has sealed and dispatched: forged, changed, copied and old slices are set aside."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer
from sqlalchemy import update

from jobsched.base import aside
from jobsched.board import PREFIX, Board
from jobsched.config import Settings
from jobsched.domain import SiteFacts, Slice
from jobsched.ledger.database import writing
from jobsched.ledger.models import Site
from jobsched.queues import key_watch, lanes, seal
from jobsched.queues.lanes import PRUNE, RUN_SLICE, WAKE, LaneQueue, SliceJob
from jobsched.queues.seal import Seal
from jobsched.work import runner
from tests import forged
from tests.canary import DATA
from tests.engine import cut, draft, engine, environment, job, post, statuses
from tests.integration.work.runner_fixtures import board as board
from tests.integration.work.runner_fixtures import runner_here as runner_here
from tests.integration.work.runner_fixtures import settings as settings
from tests.support import BANDS, eventually

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
BAND = BANDS[0]
QUEUE = f"rq:queue:{BAND.queue}"


@pytest.fixture
def variables() -> dict[str, str]:
    return {}


@pytest.fixture
def slice_(settings: Settings, board: Board, redis: Redis) -> Slice:
    """One in flight, in its queue."""
    post(settings, board, draft("echo", back=1))
    [slice_] = cut(board, BAND.name)
    lanes.enqueue(redis, BAND, [slice_])
    return slice_


def pop(redis: Redis) -> SliceJob | None:
    found = LaneQueue.dequeue_any([lanes.queue(redis, BAND.queue)], None, connection=redis)
    return found and found[0]  # type: ignore[return-value]


def data(slice_: Slice, **other: Any) -> list[Any]:
    other_ = dataclasses.replace(slice_, **other)
    return [RUN_SLICE, None, [other_.id, other_.site, other_.band, other_.points, other_.dispatched_at,
                              [[fence.job, fence.attempt] for fence in other_.jobs]], {}]


def test_our_own_slice_is_popped(redis: Redis, slice_: Slice) -> None:
    popped = pop(redis)

    assert popped is not None
    assert popped.args == data(slice_)[2]
    assert aside.counts(redis) == {}


@pytest.mark.parametrize("field", ["data", "seal"])
@pytest.mark.parametrize("value", [b"", b"x", b"\xff", DATA, zlib.compress(b"0" * 10_000_000)])
def test_a_slice_that_was_changed_is_set_aside(redis: Redis, slice_: Slice, field: str, value: bytes) -> None:
    redis.hset(f"rq:job:{slice_.id}", field, value)

    assert pop(redis) is None
    assert redis.llen(QUEUE) == 0
    assert not redis.exists(f"rq:job:{slice_.id}")
    assert sum(aside.counts(redis).values()) == 1


def test_a_slice_without_a_seal_is_set_aside(redis: Redis, slice_: Slice) -> None:
    """As those are that an older version has put there: they come back by their lease."""
    redis.hdel(f"rq:job:{slice_.id}", "seal")

    assert pop(redis) is None
    assert aside.counts(redis) == {"slice with another seal": 1}


def test_data_that_unpacks_to_very_much_is_never_held_whole(redis: Redis, slice_: Slice) -> None:
    redis.hset(f"rq:job:{slice_.id}", "data", zlib.compress(b"0" * 200_000_000))
    tracemalloc.start()
    try:
        assert pop(redis) is None
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("other", [{"site": 2}, {"points": 9}, {"band": "task_05"}, {"dispatched_at": 1.0},
                                   {"id": "another"}, {"jobs": ()}], ids=str)
def test_a_seal_is_good_for_what_it_was_made_for(redis: Redis, slice_: Slice, other: dict[str, Any]) -> None:
    changed = json.dumps(data(slice_, **other)).encode()
    assert changed != json.dumps(data(slice_)).encode()
    redis.hset(f"rq:job:{slice_.id}", "data", changed)

    assert pop(redis) is None


def test_a_seal_is_good_for_its_own_job_only(redis: Redis, slice_: Slice) -> None:
    redis.hset("rq:job:copy", mapping=redis.hgetall(f"rq:job:{slice_.id}"))
    redis.lpush(QUEUE, "copy")

    popped = pop(redis)

    assert popped is not None
    assert popped.id == slice_.id
    assert aside.counts(redis) == {"job that is not ours": 1}


@pytest.mark.parametrize("name", [RUN_SLICE, WAKE, PRUNE, "os.system"])
def test_a_forged_job_is_set_aside_and_what_is_behind_it_comes(redis: Redis, slice_: Slice, name: str) -> None:
    for number in range(20):
        RQJob.create(name, id=f"evil-{number}", connection=redis, serializer=JSONSerializer).save()
        redis.lpush(QUEUE, f"evil-{number}")

    popped = pop(redis)

    assert popped is not None
    assert popped.id == slice_.id
    assert aside.counts(redis) == {"job that is not ours": 20}
    assert redis.keys("rq:job:evil-*") == []


@pytest.mark.parametrize("id_", forged.RUBBISH)
def test_an_id_that_names_nothing_is_passed_over(redis: Redis, slice_: Slice, id_: bytes) -> None:
    redis.lpush(QUEUE, id_)

    popped = pop(redis)

    assert popped is not None
    assert popped.id == slice_.id


@pytest.mark.parametrize(("field", "value"), [
    ("status", "no such status"), ("status", b"\xff"), ("created_at", "yesterday"), ("result_ttl", "many"),
    ("origin", b"\xff"), ("worker_name", b"\xff"), ("last_heartbeat", "²"), ("ttl", "1e400"),
])
def test_a_record_that_can_not_be_read_is_set_aside(redis: Redis, slice_: Slice, field: str, value: Any) -> None:
    redis.hset(f"rq:job:{slice_.id}", field, value)

    assert pop(redis) is None
    assert sum(aside.counts(redis).values()) == 1


def test_a_record_of_another_type_is_set_aside(redis: Redis, slice_: Slice) -> None:
    redis.delete(f"rq:job:{slice_.id}")
    redis.set(f"rq:job:{slice_.id}", "x")

    assert pop(redis) is None
    assert sum(aside.counts(redis).values()) == 1


def test_what_stood_under_a_slice_s_id_before_is_gone(redis: Redis, slice_: Slice) -> None:
    for forge in (lambda: forged.job(redis, slice_.id, rate_limit_key="evil", repeats_left=3),
                  lambda: redis.set(f"rq:job:{slice_.id}", "x")):
        redis.delete(QUEUE, f"rq:job:{slice_.id}")
        forge()
        lanes.enqueue(redis, BAND, [slice_])
        assert not redis.hexists(f"rq:job:{slice_.id}", "repeats_left")
        assert pop(redis) is not None


def test_fields_that_name_functions_jobs_and_limits_are_not_read(redis: Redis, slice_: Slice) -> None:
    redis.hset(f"rq:job:{slice_.id}", mapping={
        "success_callback_name": "os.system", "webhooks": "[]", "dependency_ids": '["a"]', "group_id": "g",
        "timeout": 1, "retries_left": 9, "repeats_left": 9, "rate_limit_key": "r", "rate_limit_concurrency": 1,
        "meta": DATA,
        "result": DATA, "exc_info": zlib.compress(b"0" * 10_000_000), "allow_dependency_failures": "x"})

    popped = pop(redis)

    assert popped is not None
    assert (popped.timeout, popped.retries_left, popped.repeats_left, popped.group_id) == (-1, None, None, None)
    assert (popped.meta, popped.has_rate_limit, popped._dependency_ids) == ({}, False, [])


def test_a_forged_job_that_fails_is_not_sealed_by_its_failure(redis: Redis, slice_: Slice) -> None:
    redis.hdel(f"rq:job:{slice_.id}", "seal")
    found = SliceJob.fetch(slice_.id, connection=redis)

    found.save()

    assert redis.hget(f"rq:job:{slice_.id}", "seal") == b""


def test_a_slice_of_a_paused_site_that_was_in_flight_before_is_not_run(
    redis: Redis, board: Board, slice_: Slice
) -> None:
    """A copy of a slice that was given back: its seal and its fences are good."""
    board.settle(slice_.id, None)
    board.update_sites([SiteFacts(slice_.site, 1, 1.0, None, None, 1, paused=True)])
    popped = pop(redis)
    assert popped is not None

    popped.perform()

    assert job(slice_.jobs[0].job).status == "pending"
    assert aside.counts(redis) == {"slice that is not in flight": 1}


def test_a_slice_in_flight_is_run(redis: Redis, slice_: Slice) -> None:
    popped = pop(redis)
    assert popped is not None

    popped.perform()

    assert job(slice_.jobs[0].job).status == "completed"
    assert runner.runtime().board.upkeep.flying() == {}


# Keys


def test_what_an_older_key_sealed_is_good_while_it_is_named() -> None:
    before, between, after = Seal(["old"]), Seal(["new", "old"]), Seal(["new"])
    by_old, by_new = before.of("a", b"x"), after.of("a", b"x")

    assert between.of("a", b"x") == by_new
    assert [seal_.is_on("a", b"x", by_old) for seal_ in (before, between, after)] == [True, True, False]
    assert [seal_.is_on("a", b"x", by_new) for seal_ in (before, between, after)] == [False, True, True]
    assert set(before.prints) | set(after.prints) == set(between.prints)
    assert "old" not in before.prints[0]


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def use(key: str | None, **more: str) -> Seal:
        monkeypatch.delenv("SECRET_KEY", raising=False)
        for name, value in {**({"SECRET_KEY": key} if key else {}), **more}.items():
            monkeypatch.setenv(name, value)
        seal.ours.cache_clear()
        return seal.ours()

    yield use
    seal.ours.cache_clear()


def test_a_worker_with_another_key_gives_slices_back(redis: Redis, slice_: Slice, key: Any,
                                                    caplog: pytest.LogCaptureFixture) -> None:
    key("another")

    assert pop(redis) is None
    assert aside.counts(redis) == {"slice with another seal": 1}
    assert "set the same SECRET_KEY" in caplog.text


def test_a_worker_that_knows_the_older_key_takes_them(redis: Redis, slice_: Slice, key: Any) -> None:
    key("another", SECRET_KEY_FALLBACKS="a, only-for-tests")

    assert pop(redis) is not None


def test_without_a_key_processes_of_one_home_agree(tmp_path: Path, key: Any) -> None:
    code = "from jobsched.queues import seal; print(seal.ours().prints[0])"
    env = {**os.environ, "JOBSCHED_HOME": str(tmp_path / "new"), "SECRET_KEY": " "}
    several = [subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE) for _ in range(4)]
    prints = {process.communicate()[0] for process in several}

    assert prints == {f"{key(None, JOBSCHED_HOME=str(tmp_path / 'new')).prints[0]}\n".encode()}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["secret_key"]
    assert (tmp_path / "new" / "secret_key").stat().st_mode & 0o777 == 0o600


def test_where_no_key_can_be_kept_one_sentence_says_what_to_set(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "file").touch()
    env = environment(settings, JOBSCHED_HOME=str(tmp_path / "file"), SECRET_KEY="")

    for kind in ("worker", "dispatcher", "scheduler"):
        done = subprocess.run([sys.executable, "-m", "jobsched", kind], env=env, capture_output=True, text=True,
                              timeout=60)
        assert done.returncode != 0
        assert "SECRET_KEY is not set" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_host_whose_workers_have_another_key_says_so_until_it_is_mended(
    settings: Settings, board: Board, redis: Redis, tmp_path: Path
) -> None:
    [id_] = post(settings, board, draft("echo", back=1))
    with engine(settings, tmp_path, ("dispatcher",)):
        with engine(settings, tmp_path, ("worker",), SECRET_KEY="another", JOBSCHED_WORKERS="1") as programs:
            eventually(lambda: "SECRET_KEY: a dispatcher has another one" in programs["worker"].said(), 40)
            eventually(lambda: aside.counts(redis).get("slice with another seal"), 40)
            assert key_watch.warnings(board)
            assert job(id_).attempt == 0
        with engine(settings, tmp_path, ("worker",), SECRET_KEY="newer", SECRET_KEY_FALLBACKS=settings.secret_key):
            eventually(lambda: statuses() == {"completed": 1}, 60)
            eventually(lambda: key_watch.warnings(board) == [], 40)


def test_keys_that_differ_are_told_of_once_and_no_more_when_they_agree(
    board: Board, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, redis: Redis
) -> None:
    monkeypatch.setattr(key_watch, "EVERY_S", 0.0)
    watch = key_watch.KeyWatch(board, "web-1-17")
    for prints, refused, said in (([], False, 0), (["another"], True, 1), (["another"], True, 1),
                                  (["only-for-tests"], False, 1), (["another"], True, 2)):
        redis.delete(f"{PREFIX}alive:key")
        for key in prints:
            board.presence.beat("key", Seal([key]).prints[0], 60)
        watch.look()
        assert bool(key_watch.warnings(board)) == refused
        assert caplog.text.count("set the same SECRET_KEY") == said


@pytest.mark.slow
def test_forged_slices_in_every_queue_neither_run_nor_keep_ours_from_running(
    settings: Settings, board: Board, redis: Redis, tmp_path: Path
) -> None:
    paused = post(settings, board, draft("tally", book=str(tmp_path / "paused")))
    with runner.runtime().app.app_context(), writing() as session:
        session.execute(update(Site).where(Site.id == 1).values(paused=True))
    board.update_sites([SiteFacts(1, 1, 1.0, None, None, 1, paused=True)])
    evil = dataclasses.replace(Slice("evil", 1, BAND.name, 3, 0.0, ()))
    for queue in [band.queue for band in BANDS]:
        for number in range(5):
            id_ = f"evil-{queue}-{number}"
            args = [id_, *data(evil)[2][1:5], [[paused[0], 0]]]
            RQJob.create(RUN_SLICE, args=args, id=id_, connection=redis, serializer=JSONSerializer).save()
            redis.rpush(f"rq:queue:{queue}", id_, *forged.RUBBISH)
    with engine(settings, tmp_path, ("dispatcher", "worker"), JOBSCHED_WORKERS="2", CANARY=str(tmp_path / "canary")):
        eventually(lambda: aside.counts(redis).get("job that is not ours", 0) >= 25, 40)
        post(settings, board, draft("echo", site=2, user=2, back=2))
        eventually(lambda: statuses().get("completed") == 1, 40)

    assert job(paused[0]).status == "pending"
    assert not (tmp_path / "canary").exists()
    assert "died" not in (tmp_path / "worker.log").read_text()
