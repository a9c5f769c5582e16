"""The same load and faults on bare RQ, judged as leniently as possible."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from os import getpgid
from pathlib import Path
from typing import Any

import psutil
from redis import Redis
from redis.exceptions import RedisError
from rq.exceptions import DuplicateJobError
from rq.job import Job
from rq.results import Result

from tests.chaos import bare_rq, load, notes, report, stack
from tests.chaos.faults import Faults
from tests.chaos.load import ALWAYS, Request
from tests.chaos.notes import Notes
from tests.chaos.options import Options, say
from tests.chaos.ours import OWN_WORK_S, QUIET_S
from tests.chaos.proxy import Proxy
from tests.chaos.report import Outcome
from tests.chaos.servers import running_redis
from tests.chaos.stack import Member
from tests.chaos.tasks import NOTES
from tests.chaos.verdict import reruns
from tests.chaos.world import World
from tests.support import eventually

#: RQ notices what is abandoned later than jobsched has to: what ends only then is counted apart.
LATE_S = 180.0


def run(options: Options, directory: Path) -> Outcome:
    """As :func:`tests.chaos.ours.run`, without what RQ has not: web, dispatcher, database."""
    with ExitStack() as servers:
        redis = servers.enter_context(running_redis(directory / "redis"))
        proxy = servers.enter_context(Proxy(redis.socket, random.Random(f"{options.seed}:replies")))
        url = f"redis://127.0.0.1:{proxy.port}/0"
        env = stack.environment({"REDIS_URL": url, NOTES: str(directory / "notes")})
        running = servers.enter_context(stack.tree([sys.executable, "-m", "tests.chaos.bare_rq"], directory, env,
                                                   directory / "log", _roles))
        eventually(lambda: sum(member.role == "RQ worker" for member in running.members()) == bare_rq.WORKERS, 60.0)
        clients = load.Clients(options.seed, _unfinished(redis.client), _enqueue(url))
        faults = Faults(World(running, redis, proxy, None, None), options.seed, options.faults)
        say(f"bare RQ: breaking things for {options.seconds:g} s, seed {options.seed}, in {directory}")
        clients.start()
        quiet_from = faults.run(options.seconds)
        say("quiet")
        clients.stop(QUIET_S)
        told = _await_ends(clients.requests, redis.client, directory, quiet_from + QUIET_S + OWN_WORK_S)
        lost = _open(clients.requests, told, redis.client)
        told = _await_ends(clients.requests, redis.client, directory, quiet_from + LATE_S)
        late = lost - _open(clients.requests, told, redis.client)
        figures = {
            **report.fault_figures(faults, proxy, clients),
            "jobs acknowledged": len(_acknowledged(clients.requests)),
            **_figures(_acknowledged(clients.requests), told, redis.client),
            "lost": len(lost),
            f"lost, but ended within {LATE_S:g} s": len(late),
            "s from a kill to the job's next start": report.spread(
                [rerun.seconds for rerun in reruns(told, faults.kills, {})]),
            "s from a kill to the process's next birth": report.births(faults),
        }
    return Outcome(figures, [])


def _enqueue(url: str) -> Callable[[Request], list[str]]:
    """Enqueue a request's jobs, each under an id of its own: one that RQ has already is as good as enqueued."""
    queue = bare_rq.queue(url)

    def send(request: Request) -> list[str]:
        ids = []
        for job in request.jobs:
            ids.append(f"{request.key}-{job['payload']['n']}")
            options = bare_rq.options(ids[-1])
            try:
                with suppress(DuplicateJobError):
                    if "run_at" in job:
                        queue.enqueue_at(datetime.fromisoformat(job["run_at"]), bare_rq.task, job["payload"], **options)
                    else:
                        queue.enqueue(bare_rq.task, job["payload"], **options)
            except RedisError as error:
                raise load.Away(type(error).__name__) from error
        return ids

    return send


def _unfinished(redis: Redis) -> Callable[[], int]:
    """How many jobs wait or run, by RQ's own structures."""

    def count() -> int:
        with suppress(RedisError):
            return int(redis.llen(f"rq:queue:{bare_rq.QUEUE}")) + int(redis.zcard(f"rq:wip:{bare_rq.QUEUE}"))
        return 0

    return count


def _acknowledged(requests: Sequence[Request]) -> dict[str, dict[str, Any]]:
    return {id_: job for request in requests if request.answers
            for id_, job in zip(request.answers[0], request.jobs, strict=True)}


def _await_ends(requests: Sequence[Request], redis: Redis, directory: Path, deadline: float) -> Notes:
    while _open(requests, told := notes.read(directory / "notes"), redis) and time.time() < deadline:
        time.sleep(1.0)
    return told


def _open(requests: Sequence[Request], told: Notes, redis: Redis) -> set[str]:
    """The acknowledged jobs that have not ended: neither did their task, nor does RQ call them finished or failed."""
    return {id_ for id_, job in _acknowledged(requests).items()
            if not told.ends(id_) and not _raised_to_the_end(told, id_, job["payload"])
            and redis.hget(f"rq:job:{id_}", "status") not in (b"finished", b"failed")}


def _raised_to_the_end(told: Notes, id_: str, payload: Mapping[str, Any]) -> bool:
    return payload["fail_until"] == ALWAYS and len(told.starts(id_)) > bare_rq.RETRIES


def _figures(jobs: Mapping[str, Any], told: Notes, redis: Redis) -> dict[str, int]:
    """A job is recorded twice when RQ itself keeps two results that say it succeeded."""
    statuses: Counter[str] = Counter()
    twice = 0
    for id_ in jobs:
        statuses[(redis.hget(f"rq:job:{id_}", "status") or b"gone").decode()] += 1
        results = Result.all(Job(id_, connection=redis))
        twice += sum(result.type is Result.Type.SUCCESSFUL for result in results) > 1
    return {
        "completed": sum(bool(told.ends(id_)) for id_ in jobs),
        "failed": statuses["failed"],
        "failed, though its task would have ended": sum(
            redis.hget(f"rq:job:{id_}", "status") == b"failed" and job["payload"]["fail_until"] != ALWAYS
            for id_, job in jobs.items()),
        "records gone from Redis": statuses["gone"],
        "recorded twice": twice,
        "started more than once, retries aside": sum(told.started_again(id_) for id_ in jobs),
        "most starts of one job": max((len(told.starts(id_)) for id_ in jobs), default=0),
    }


def _roles(root: psutil.Process) -> list[Member]:
    """RQ's workers, their horses (which lead a group of their own), and the schedulers that they fork."""
    members = []
    for worker in root.children():
        with suppress(psutil.Error, ProcessLookupError):
            if "tests.chaos.bare_rq worker" not in " ".join(worker.cmdline()):
                continue
            members.append(Member("RQ worker", worker))
            for child in worker.children():
                role = "horse" if getpgid(child.pid) == child.pid else "scheduler"
                members.append(Member(role, child))
    return members
