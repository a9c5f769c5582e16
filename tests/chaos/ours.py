"""One run of jobsched under load and faults, and its verdict."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from redis import Redis

from tests import clocks
from tests.chaos import audit, load, notes, report, stack, verdict
from tests.chaos.faults import Faults
from tests.chaos.operators import Operators
from tests.chaos.options import Options, say
from tests.chaos.proxy import Proxy
from tests.chaos.recount import board_faults
from tests.chaos.report import Outcome
from tests.chaos.servers import running_database, running_redis
from tests.chaos.troubles import lacking
from tests.chaos.world import World
from tests.servers import ServerMissing

#: After the last fault everything ends within so many seconds, plus its own work.
QUIET_S = 60.0
#: A job's own work: the longest task, three times, with the waits between its retries.
OWN_WORK_S = 8.0
#: How long the board may take to come to rest after the last job, in seconds.
REST_S = 30.0
#: Jobs that are submitted to a stack at rest, to compare a board on which something waits.
WAITING_JOBS = 40


def run(options: Options, directory: Path) -> Outcome:
    """Start everything in ``directory``, break it for a while, and judge. Ends what it has started."""
    with ExitStack() as servers:
        clock = clocks.clock(directory) if options.is_choice and "redis-clock" in options.faults else None
        redis = servers.enter_context(running_redis(directory / "redis", clock))
        database = servers.enter_context(running_database(options.db, directory))
        redis_proxy = servers.enter_context(Proxy(redis.socket, random.Random(f"{options.seed}:replies")))
        database_proxy = servers.enter_context(Proxy(database.socket, random.Random(0))) if database.socket else None
        running, port = servers.enter_context(stack.running(
            directory, database.url(database_proxy.port if database_proxy else 0),
            f"redis://127.0.0.1:{redis_proxy.port}/0"))
        book = audit.Audit(database.direct_url)
        book.install()
        load.make_customers(port)
        clients = load.Clients(options.seed, book.unfinished, load.over_http(port))
        operators = Operators(port, options.seed)
        world = World(running, redis, redis_proxy, database, database_proxy, port)
        _tell_what_is_left_out(world, options)
        faults = Faults(world, options.seed, options.faults)
        say(f"jobsched on {options.db}: breaking things for {options.seconds:g} s, seed {options.seed}, in {directory}")
        clients.start()
        operators.start()
        quiet_from = faults.run(options.seconds)
        say("quiet")
        paused = operators.settle(QUIET_S)
        clients.stop(QUIET_S)
        ended_s = _await_ends(book, quiet_from, faults)
        left = _await_rest(redis.client, book)
        rows, history, told = book.rows(), book.history(), notes.read(directory / "notes")
        if not left and not book.unfinished():
            left = _compare_waiting(running, port, redis.client, book)
        stop_faults = running.stop()
        found = verdict.judge(clients.requests, rows, history, told, faults.kills)
        for what in (*left, *clients.refused, *paused, *stop_faults):
            found.blame(None, what)
        lasting = _lasting_rq_jobs(redis.client)
    figures = {
        **report.fault_figures(faults, redis_proxy, clients),
        "changes by operators": dict(sorted(operators.changes.items())),
        "jobs acknowledged": found.acknowledged,
        "completed": found.statuses["completed"],
        "failed": found.statuses["failed"],
        "failed, though its task would have ended": found.failed_by_faults,
        "lost": len(found.lost),
        "recorded twice": len(found.recorded_twice),
        "started more than once, retries aside": found.started_again,
        "most starts of one job": found.most_starts,
        "s from the last fault to the last end": ended_s,
        "s from a kill until the job is free again": report.spread(
            [rerun.free_s for rerun in found.reruns if rerun.free_s is not None]),
        "s from a kill to the job's next start": report.spread([rerun.seconds for rerun in found.reruns]),
        "s from a kill to the process's next birth": report.births(faults),
        "slowest": report.slowest(found.reruns, faults.spells),
        "RQ jobs left in Redis": lasting,
        "violations": len(found.violations),
    }
    return Outcome(figures, report.histories(found, history, told))


def _tell_what_is_left_out(world: World, options: Options) -> None:
    """Say which faults can not be brought about here. Raises ServerMissing when one of them was asked for by name."""
    left_out = [f"{name} needs {what}" for name, what in lacking(world, options.faults).items()]
    if left_out and options.is_choice:
        raise ServerMissing(f"FAULTS: {'; '.join(left_out)}")
    for what in left_out:
        say(f"left out: {what}")


def _await_ends(book: audit.Audit, quiet_from: float, faults: Faults | None = None) -> float:
    """Wait until every job has ended, or has had its time; returns how long that took since the last fault."""
    while book.unfinished() and time.time() < quiet_from + QUIET_S + OWN_WORK_S:
        if faults:
            faults.look()
        time.sleep(0.2)
    return round(time.time() - quiet_from, 1)


def _await_rest(redis: Redis, book: audit.Audit) -> list[str]:
    """Wait until nothing is left on the board, and return what is."""
    if book.unfinished():
        return []
    rows, deadline = list(book.rows().values()), time.monotonic() + REST_S
    while (faults := board_faults(redis, rows, book.capacities())) and time.monotonic() < deadline:
        time.sleep(0.5)
    return [f"nothing waits, but {fault}" for fault in faults]


def _compare_waiting(running: stack.Stack, port: int, redis: Redis, book: audit.Audit) -> list[str]:
    """Hold the dispatchers still while jobs are submitted, so that their board can be compared; then let them run."""
    dispatchers = [member.process for member in running.members() if member.role == "dispatcher"]
    for process in dispatchers:
        process.suspend()
    try:
        load.submit_quick(port, WAITING_JOBS)
        faults = board_faults(redis, book.rows().values(), book.capacities())
    finally:
        for process in dispatchers:
            process.resume()
    _await_ends(book, time.time())
    if book.unfinished():
        faults.append(f"{book.unfinished()} of them did not end")
    return [f"{WAITING_JOBS} jobs wait, but {fault}" for fault in faults]


def _lasting_rq_jobs(redis: Redis) -> int:
    """RQ's records of slices that nobody will ever remove: they have no time to live, and are in no registry."""
    registries: Any = redis.scan_iter(match="rq:wip:*", count=1000)
    started = {entry.split(b":")[0] for registry in registries for entry in redis.zrange(registry, 0, -1)}
    keys: Any = redis.scan_iter(match="rq:job:*", count=1000)
    return sum(redis.ttl(key) == -1 and key.split(b":")[2] not in started for key in keys)
