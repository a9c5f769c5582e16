"""A steady load without any fault, and whether anything grows: `python -m tests.chaos.soak`.

Every few seconds: the memory and open files of each process, the keys and memory of Redis, connections to the database.
Writes them as CSV, draws them as SVG, and ends with exit code 1 when one of them was still growing.
"""

from __future__ import annotations

import argparse
import csv
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import psutil

from tests.chaos import audit, load, stack
from tests.chaos.options import say
from tests.chaos.plot import draw
from tests.chaos.proxy import Proxy
from tests.chaos.servers import Database, RedisServer, running_database, running_redis

EVERY_S = 10.0
#: What may differ between two parts of a run without being growth: a share of it, and so much beside that.
TOLERANCE = {"MB": (0.05, 3.0), "files": (0.0, 2.0), "keys": (0.1, 20.0), "connections": (0.0, 3.0)}

Sample = dict[str, float]


def main() -> int:
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):  # so that what was started is ended
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    directory = Path(tempfile.mkdtemp(prefix="jobsched-soak-"))
    directory.chmod(0o711)  # PostgreSQL runs as another user
    try:
        samples, jobs = soak(options.seconds, options.db, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    options.out.mkdir(parents=True, exist_ok=True)
    table, picture = options.out / f"soak-{options.db}.csv", options.out / f"soak-{options.db}.svg"
    _write(table, samples)
    title = f"{options.seconds / 60:g} minutes of steady load on {options.db}: {jobs} jobs"
    picture.write_text(draw(title, samples))
    say(f"{title}; {table}, {picture}")
    grown = growth(samples)
    for line in grown:
        print(line)
    return 1 if grown else 0


def soak(seconds: float, db: str, directory: Path) -> tuple[list[Sample], int]:
    """Run the stack under load; returns the samples, and how many jobs ended."""
    with ExitStack() as servers:
        redis = servers.enter_context(running_redis(directory / "redis"))
        database = servers.enter_context(running_database(db, directory))
        redis_proxy = servers.enter_context(Proxy(redis.socket, random.Random(0)))
        database_proxy = servers.enter_context(Proxy(database.socket, random.Random(0))) if database.socket else None
        running, port = servers.enter_context(stack.running(
            directory, database.url(database_proxy.port if database_proxy else 0),
            f"redis://127.0.0.1:{redis_proxy.port}/0"))
        book = audit.Audit(database.direct_url)
        load.make_customers(port)
        clients = load.Clients(1, book.unfinished, load.over_http(port))
        say(f"soaking for {seconds:g} s on {db}")
        clients.start()
        began, samples = time.monotonic(), []
        while (elapsed := time.monotonic() - began) < seconds:
            samples.append({"seconds": round(elapsed, 1), **sample(running, redis, database)})
            time.sleep(max(0.0, EVERY_S - (time.monotonic() - began) % EVERY_S))
        clients.stop(30.0)
        return samples, len(book.rows()) - book.unfinished()


def sample(running: stack.Stack, redis: RedisServer, database: Database) -> Sample:
    """How large everything is now. A horse lives for one slice, so it is left out."""
    members = [member for member in running.members() if member.role != "horse"]
    numbers: Counter[str] = Counter()
    found: Sample = {}
    for member in sorted(members, key=lambda member: (member.role, member.pid)):
        numbers[member.role] += 1
        name = f"{member.role} {numbers[member.role]}"
        try:
            found[f"{name} MB"] = round(member.process.memory_info().rss / 1e6, 2)
            found[f"{name} files"] = member.process.num_fds()
        except psutil.Error:
            continue
    memory = redis.client.info("memory")
    found["Redis MB"] = round(memory["used_memory"] / 1e6, 3)
    found["Redis keys"] = redis.client.dbsize()
    found["database connections"] = database.connections([member.process for member in members])
    return found


def growth(samples: Sequence[Sample]) -> list[str]:
    """What was larger in the last third of a run than in the second, by more than chance."""
    third = len(samples) // 3
    lines = []
    for name in samples[-1]:
        before = [row[name] for row in samples[third : 2 * third] if name in row]
        after = [row[name] for row in samples[2 * third :] if name in row]
        if name != "seconds" and before and after:
            share, beside = TOLERANCE[name.rsplit(" ", 1)[1]]
            if median(after) > median(before) * (1 + share) + beside:
                lines.append(f"{name} grew from {median(before):g} to {median(after):g}")
    return lines


def _write(path: Path, samples: Sequence[Sample]) -> None:
    columns = list(dict.fromkeys(name for row in samples for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(samples)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--db", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="where the CSV and the SVG go")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
