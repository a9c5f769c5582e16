"""Forged jobs in the queues of real workers do not run, and end no worker."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer
from sqlalchemy import update

from jobsched import tasks
from jobsched.base import aside
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.domain import SiteFacts, Slice
from jobsched.ledger.database import writing
from jobsched.ledger.models import Site
from jobsched.queues import lanes
from jobsched.queues.lanes import PRUNE, RUN_SLICE, WAKE
from tests import forged
from tests.canary import CALLBACK
from tests.engine import (
    ROOT,
    TASKS,
    Running,
    as_arguments,
    draft,
    engine,
    environment,
    job,
    people,
    post,
    running,
    statuses,
)
from tests.support import BANDS, eventually, install, take

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
#: Slices of a paused site that were sealed, given back, and are put into queues again.
REPLAYS = 6


@pytest.fixture
def board(redis: Redis, ledger: object) -> Board:
    tasks.load([TASKS])
    people(sites=2)
    return install(Board(redis), "balanced")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def paused(settings: Settings, board: Board, redis: Redis) -> list[Slice]:
    """Slices of a site that was paused after they had been given back; their jobs wait, with no attempt made."""
    post(settings, board, *(draft("tally", book="/nowhere") for _ in range(REPLAYS)))
    slices = take(board, BANDS[0].name, REPLAYS)
    for slice_ in slices:
        lanes.enqueue(redis, BANDS[0], [slice_])
    records = {slice_.id: redis.hgetall(f"rq:job:{slice_.id}") for slice_ in slices}
    for slice_ in slices:
        board.settle(slice_.id, None)
        redis.hset(f"rq:job:{slice_.id}", mapping=records[slice_.id])
    redis.delete(f"rq:queue:{BANDS[0].queue}")
    with writing() as session:
        session.execute(update(Site).where(Site.id == 1).values(paused=True))
    board.update_sites([SiteFacts(1, 1, 1.0, None, None, 1, paused=True)])
    return slices


def plant(redis: Redis, queue: str, slice_: Slice) -> None:
    """Forged jobs for every function, with pickles and callbacks, and a replay, in front of what a queue holds."""
    key = f"rq:queue:{queue}"
    for number, name in enumerate((RUN_SLICE, WAKE, PRUNE, CALLBACK, "os.system")):
        args = as_arguments(slice_) if name == RUN_SLICE else ()
        id_ = f"evil-{queue}-{number}"
        RQJob.create(name, args=args, id=id_, connection=redis, serializer=JSONSerializer, origin=queue).save()
        callbacks = {f"{end}_callback_name": CALLBACK for end in ("success", "failure", "stopped")}
        redis.hset(f"rq:job:{id_}", mapping={**callbacks, "seal": json.dumps(name)})
        redis.lpush(key, id_)
    redis.lpush(key, forged.job(redis, f"evil-{queue}", status="queued", origin=queue), *forged.RUBBISH)
    redis.lpush(key, slice_.id)


def documented() -> str:
    """The plain RQ worker that the page on operations tells people to type."""
    page = (ROOT / "docs" / "operations.md").read_text()
    [found] = re.findall(r"^RQ_REDIS_URL=\S+ (rq worker (?:[^`\n\\]|\\\n)*)", page, re.MULTILINE)
    return f'RQ_REDIS_URL="$REDIS_URL" exec {found}'


@contextmanager
def workers(settings: Settings, directory: Path, how: str, canary: Path) -> Iterator[Running]:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    env = {"JOBSCHED_WORKERS": "2", "JOBSCHED_REPAIR_EVERY": "1", "CANARY": str(canary), "PATH": path}
    with engine(settings, directory, ("dispatcher", *(["worker"] if how == "jobsched" else [])), **env) as programs:
        if how == "jobsched":
            yield programs["worker"]
        else:
            argv = ["/bin/sh", "-c", documented()]
            with running(argv, environment(settings, **env), directory / "worker.log") as worker:
                yield worker


@pytest.mark.parametrize("how", ["jobsched", "rq"])
def test_nothing_that_was_planted_runs(
    settings: Settings, board: Board, redis: Redis, tmp_path: Path, paused: list[Slice], canary: Path, how: str
) -> None:
    with workers(settings, tmp_path, how, canary) as worker:
        eventually(lambda: redis.scard(f"rq:workers:{BANDS[0].queue}"), 40)
        queues = [lanes.WAKE_QUEUE, BANDS[0].queue]
        if how == "jobsched":  # RQ's own imports all anew for each slice, and knows no side queue
            sides = eventually(lambda: lanes.side_queues(BANDS[:1], board.codes.by_band()))
            queues += [*(band.queue for band in BANDS[1:4]), *sorted(sides)]
        for queue, slice_ in zip(queues, paused, strict=False):
            plant(redis, queue, slice_)
        [good] = post(settings, board, draft("echo", site=2, user=2, back=7))
        eventually(lambda: all(redis.llen(f"rq:queue:{queue}") == 0 for queue in queues), 90)
        eventually(lambda: job(good).status == "completed", 90)
        counts = eventually(
            lambda: (found := aside.counts(redis)).get("slice that is not in flight", 0) >= len(queues) and found, 90)

        assert worker.process.poll() is None
        assert redis.publish("rq:pubsub:" + next(iter(redis.smembers("rq:workers"))).decode()[10:], "{}") == 0

    assert counts["job that is not ours"] >= 6 * len(queues)
    assert not canary.exists()
    assert statuses() == {"pending": REPLAYS, "completed": 1}
    assert all(job(fence.job).attempt == 0 for slice_ in paused for fence in slice_.jobs)
    assert "Traceback" not in worker.said()
    assert " died " not in worker.said()
