"""The board of a stack at rest against a recount from SQL: everything is pending or has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from redis import Redis

from jobsched.board import PREFIX, Board
from jobsched.domain import tier_of
from jobsched.policy import points
from tests.chaos.audit import Row
from tests.support import BANDS, TIERS

#: Keys that stay when nothing waits: rules, facts, counters, locks, who is alive.
RESTING = ("rules", "lanes", "slices", "doorbell", "inactive", "site:", "alive:", "lock:",
           "load:", "aims", "due", "rebuilt")
#: Keys that there are while something waits.
WAITING = ("jobs", "points", "lane:", "line:", "tags:", "tiers:", "user:", "asked")


def board_faults(redis: Redis, rows: Iterable[Row], capacities: Mapping[int, int]) -> list[str]:
    """Where the board differs from what the jobs in SQL say that it should be; ``capacities`` are the sites'."""
    board = Board(redis)
    pending = [row for row in rows if row.status == "pending"]
    allowed = RESTING + (WAITING if pending else ())
    faults = [f"the board holds {name}" for name in sorted(_names(redis)) if not name.startswith(allowed)]
    ids = {int(job) for job in redis.hkeys(PREFIX + "jobs")}
    faults += _differs("jobs on the board", ids, {row.id for row in pending})
    held = {site for site in capacities if board.view.standing(site).hold == "rate"}  # which nothing else may be
    for lane in board.view.lanes():
        here = [row for row in pending if row.band == lane.band]
        found = (lane.waiting, lane.flying, lane.sites, lane.paused)
        faults += _differs(f"lane {lane.band} (waiting, flying, sites, paused)", found,
                           (len(here), 0, len({row.site for row in here} - held), False))
    for site, capacity in capacities.items():
        faults += _site(board, site, capacity, pending)
    return faults


def _site(board: Board, site: int, capacity: int, pending: Sequence[Row]) -> Iterator[str]:
    of_user = Counter(row.user for row in pending)
    users = {row.user: of_user[row.user] for row in pending if row.site == site}
    by_band = dict(Counter(row.band for row in pending if row.site == site))
    found = board.view.standing(site)
    yield from _differs(f"site {site}: pending by band", dict(found.pending), by_band)
    yield from _differs(f"site {site}: lanes", set(found.places), set() if found.hold == "rate" else set(by_band))
    yield from _differs(f"site {site}: held", found.hold in (None, "rate"), True)
    yield from _differs(f"site {site}: tiers", found.tiers, sum(tier_of(n, TIERS).weight for n in users.values()))
    yield from _differs(f"site {site}: running", found.running, 0)
    yield from _differs(f"site {site}: points", found.points, points(users, by_band, capacity, TIERS, BANDS))


def _differs(what: str, found: Any, right: Any) -> list[str]:
    return [] if found == right else [f"{what}: the board has {found}, SQL {right}"]


def _names(redis: Redis) -> set[str]:
    keys: Any = redis.scan_iter(match=PREFIX + "*", count=1000)
    return {key.decode().removeprefix(PREFIX) for key in keys}
