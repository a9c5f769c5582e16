"""Breaks the stack for a while, and says what came of it: exit code 1 when anything was lost or recorded twice."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.chaos import audit, load, notes, report, stack, verdict
from tests.chaos.faults import Faults, World
from tests.chaos.proxy import Proxy
from tests.chaos.servers import running_database, running_redis

#: After the last fault everything ends within so many seconds, plus its own work.
QUIET_S = 60.0
#: A job's own work: the longest task, three times, with the waits between its retries.
OWN_WORK_S = 8.0
#: How long the board may take to come to rest after the last job, in seconds.
REST_S = 30.0


def main() -> int:
    options = _options()
    directory = Path(tempfile.mkdtemp(prefix="jobsched-chaos-"))
    directory.chmod(0o711)  # PostgreSQL runs as another user
    kept = True
    try:
        figures, failed = run(options, directory)
        print(json.dumps(figures, indent=2) if options.json else "\n".join(report.lines(figures)))
        for line in failed:
            print(line)
        if failed:
            print(f"seed {options.seed}; to run it again: make chaos SECONDS={options.seconds:g} SEED={options.seed} "
                  f"DB={options.db}; what is left of it: {directory}")
        kept = bool(failed) or options.keep
        return 1 if failed else 0
    finally:
        if not kept:
            shutil.rmtree(directory, ignore_errors=True)


def run(options: argparse.Namespace, directory: Path) -> tuple[dict[str, Any], list[str]]:
    """One run: the figures, and the violations with what belongs to them."""
    log = directory / "log"
    with ExitStack() as servers:
        redis = servers.enter_context(running_redis(directory / "redis"))
        database = servers.enter_context(running_database(options.db, directory))
        redis_proxy = servers.enter_context(Proxy(redis.socket, random.Random(f"{options.seed}:replies")))
        database_proxy = None
        if database.socket:
            database_proxy = servers.enter_context(Proxy(database.socket, random.Random(0)))
        running, port = servers.enter_context(stack.running(
            directory, log, database.url(database_proxy.port if database_proxy else 0),
            f"redis://127.0.0.1:{redis_proxy.port}/0", {"JOBSCHED_WORKERS": "4"}))
        book = audit.Audit(database.direct_url)
        book.install()
        load.make_customers(port)
        clients = load.Clients(options.seed, book.unfinished, load.over_http(port))
        clients.start()
        faults = Faults(World(running, redis, redis_proxy, database, database_proxy), options.seed,
                        options.faults.split(","))
        _say(f"breaking things for {options.seconds:g} s, seed {options.seed}, on {options.db}: {directory}")
        quiet_from = faults.run(options.seconds)
        _say("quiet")
        clients.stop(QUIET_S)
        ended_s = _await_ends(book, quiet_from, faults)
        left = _await_rest(redis.client, book)
        stop_faults = running.stop()
        rows, history, told = book.rows(), book.history(), notes.read(directory / "notes")
        found = verdict.judge(clients.requests, rows, history, told, faults.kills)
        for what in (*left, *clients.refused, *stop_faults):
            found.blame(None, what)
    figures = {
        "faults": {**dict(sorted(faults.counts.items())), "Redis replies lost": redis_proxy.counts["replies lost"]},
        "kills": len(faults.kills),
        "requests": len(clients.requests),
        "requests that were repeated": sum(request.tries > 1 for request in clients.requests),
        "requests never answered": sum(not request.answers for request in clients.requests),
        "errors that clients saw": dict(clients.errors),
        "jobs acknowledged": found.acknowledged,
        "completed": found.statuses["completed"],
        "failed": found.statuses["failed"],
        "lost": len(found.lost),
        "recorded twice": len(found.recorded_twice),
        "started more than once, retries aside": found.started_again,
        "most starts of one job": found.most_starts,
        "seconds": {
            "from the last fault to the last end": ended_s,
            "from a kill to the job's next start": report.spread([rerun.seconds for rerun in found.reruns]),
            "back": {role: report.spread(times) for role, times in sorted(faults.back_s.items())},
            "slowest": report.slowest(found.reruns, faults.spells),
        },
        "violations": len(found.violations),
    }
    return figures, report.histories(found, history, told)


def _await_ends(book: audit.Audit, quiet_from: float, faults: Faults) -> float:
    """Wait until every job has ended, or has had its time; returns how long that took since the last fault."""
    while book.unfinished() and time.time() < quiet_from + QUIET_S + OWN_WORK_S:
        faults.look()
        time.sleep(0.2)
    return round(time.time() - quiet_from, 1)


def _await_rest(redis: Any, book: audit.Audit) -> list[str]:
    """Wait until nothing is left on the board, and return what is."""
    if book.unfinished():
        return []
    rows, deadline = list(book.rows().values()), time.monotonic() + REST_S
    while (faults := verdict.board_faults(redis, rows)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return faults


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long things are broken")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--db", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--faults", default="kill,stop,trouble,lose", help="which kinds of faults")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--keep", action="store_true", help="keep the directory also when all is well")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
