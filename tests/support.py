"""Helpers of all tests: wait for a fact, insert a row, make a waiting job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeVar

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.orm import Session

from jobsched.board import Board, Lane
from jobsched.domain import Band, Bands, Slice, Tier, WaitingJob, tiers_of
from jobsched.ledger import schema
from jobsched.ledger.database import writing
from jobsched.ledger.models import Job, Site, UserRecord, db
from jobsched.policy import POLICIES

T = TypeVar("T")

#: The bands and tiers of an installation that sets none.
BANDS = Bands.of([0.001, 0.01, 0.1, 1.0, 10.0])
TIERS: tuple[Tier, ...] = tiers_of([5, 10])

_ids = count(1)


def eventually(predicate: Callable[[], T], deadline_s: float = 20.0, *, every_s: float = 0.02) -> T:
    """Wait until ``predicate()`` is truthy and return it. Fails the test when it is not by the deadline."""
    give_up = time.monotonic() + deadline_s
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > give_up:
            raise AssertionError(f"not within {deadline_s:g} s: {predicate!r} is {value!r}")
        time.sleep(every_s)


@contextmanager
def unheard() -> Iterator[Session]:
    """A transaction of which the board does not hear, as when the process dies just after the commit."""
    with writing() as session:
        yield session
        session.info["after_commit"].clear()


def create_tables() -> None:
    """The ledger's tables as the migrations leave them, at their head. Needs an application context."""
    db.create_all()
    with db.engine.begin() as connection:
        MigrationContext.configure(connection).stamp(ScriptDirectory(str(schema.DIRECTORY)), "head")


def install(board: Board, policy: str, bands: Sequence[Band] = BANDS, tiers: Sequence[Tier] = TIERS) -> Board:
    """Have the board score by a named policy."""
    board.rules.install(POLICIES[policy], bands, tiers)
    board.rules.mark_built()
    return board


def waiting_job(id: int | None = None, *, site: int = 1, user: int = 1, execution_time: float = 1.0,
                attempt: int = 0, enqueued_at: float = 1_700_000_000.0) -> WaitingJob:
    """A job as the board sees it, in the band of its execution time; ids count up when none is given."""
    band = BANDS.holding(execution_time).name
    return WaitingJob(next(_ids) if id is None else id, site, user, band, execution_time, attempt, enqueued_at)


def take(board: Board, band: str = "task_04", slices: int = 1, budget_s: float = 0.0, lease_s: float = 10.0,
         most_jobs: int = 100) -> list[Slice]:
    """Slices of one job each, unless a budget is given."""
    return board.take(band, slices, budget_s=budget_s, lease_s=lease_s, most_jobs=most_jobs)


def lane_of(board: Board, band: str = "task_04") -> Lane:
    """What the board has of one lane."""
    return next(lane for lane in board.view.lanes() if lane.band == band)


def counts(board: Board) -> dict[str, tuple[int, int, int]]:
    """The sites that may be served, the jobs that wait, and those in flight, by lane."""
    return {lane.band: (lane.sites, lane.waiting, lane.flying) for lane in board.view.lanes()}


def ids(slices: Sequence[Slice]) -> list[list[int]]:
    """The jobs of each slice."""
    return [[fence.job for fence in slice_.jobs] for slice_ in slices]


def make_site(**fields: Any) -> Site:
    """A committed site. Needs the ``ledger`` fixture."""
    return _committed(Site(**{"name": "Acme", **fields}))


def make_user(site: Site | None = None, **fields: Any) -> UserRecord:
    """A committed user record, of a new site when none is given. Needs the ``ledger`` fixture."""
    return _committed(UserRecord(**{"site_id": (site or make_site()).id, "name": "Ann", **fields}))


def make_job(user: UserRecord | None = None, site: Site | None = None, **fields: Any) -> Job:
    """A committed pending job, of a new user of the site when none is given. Needs the ``ledger`` fixture."""
    user = user or make_user(site)
    execution_time = fields.pop("execution_time", 0.005)
    return _committed(Job(**{
        "user_id": user.id, "site_id": site.id if site else user.site_id, "execution_time": execution_time,
        "band": BANDS.holding(execution_time).name, "max_attempts": 3, **fields,
    }))


def _committed(row: T) -> T:
    with writing() as session:
        session.add(row)
    return row
