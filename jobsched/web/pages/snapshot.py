"""The state that the dashboard shows at one moment, from SQL, and from Redis if it answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jobsched.base import aside, bugs, redis_errors
from jobsched.base.redis_errors import Sort
from jobsched.board import Board, Ranked
from jobsched.board import Lane as BoardLane
from jobsched.config import Settings
from jobsched.domain import Band, BoardBroken, BoardLost, Status
from jobsched.intake import controls
from jobsched.ledger.models import Job, Site, UserRecord
from jobsched.policy import POLICIES, Policy
from jobsched.queues import redis_state
from jobsched.queues.lanes import key_of
from jobsched.queues.registered import Worker, crew
from jobsched.web.api import figures
from jobsched.web.pages.latest import LatestJob, latest_jobs

T = TypeVar("T")

log = logging.getLogger(__name__)

#: How many sites of a lane's order are shown.
SITES_A_LANE = 5

_REDIS_AWAY = "Redis does not answer: jobs are accepted and kept, and go on when it is back."
_BOARD_BROKEN = "The board holds what can not be read: a dispatcher builds it again, from the database."
_BOARD_LOST = "The board has not been set up yet: a dispatcher does it, from the database, when it starts."


@dataclass(frozen=True)
class Lane:
    """One lane. ``waiting``, ``queued`` (RQ jobs), ``sites`` and ``backlog_s`` come from Redis: None while it is away.

    ``backlog_s`` is the work that waits, in estimated worker-seconds.
    """

    band: Band
    running: int
    oldest_wait_s: float | None
    waiting: int | None
    queued: int | None
    sites: int | None
    backlog_s: float | None
    paused: bool


@dataclass(frozen=True)
class Standing:
    """One site in a lane's order, with the parts that add up to ``score``.

    Scores are only compared within a lane, so what all its sites share is left out: ``share`` counts from the least
    served site shown, ``age`` from now. ``raw`` is the score as the board holds it.
    """

    place: int
    site: int
    site_name: str
    score: float
    raw: float
    waiting: int
    points: int
    boost: float
    share: float
    age: float
    size: float


@dataclass(frozen=True)
class Order:
    """The sites of a lane in the order they go, first ones only."""

    band: Band
    sites: int
    standings: tuple[Standing, ...]

    @property
    def digits(self) -> int:
        """How many decimals tell its scores apart."""
        most = max(abs(part) for row in self.standings for part in (row.boost, row.share, row.age, row.size))
        return next((digits for digits, least in ((0, 1000), (1, 100), (2, 1), (3, 0.1)) if most >= least), 4)


@dataclass(frozen=True)
class Snapshot:
    """The dashboard's content. ``note`` says in plain words what could not be read, and why.

    ``chosen`` is the policy that was chosen at run time, if one was. ``orders``, ``workers`` and ``others`` are None
    when they are not known; ``running`` holds the jobs at work by their slice. ``others`` are the processes alive by
    their kind, ``set_aside`` counts what Redis held that was no good.
    """

    at: datetime
    counts: Mapping[Status, int]
    lanes: tuple[Lane, ...]
    policy: Policy
    chosen: Policy | None
    orders: tuple[Order, ...] | None
    workers: tuple[Worker, ...] | None
    others: Mapping[str, Sequence[str]] | None
    set_aside: Mapping[str, int]
    running: Mapping[str, Sequence[int]]
    latest: tuple[LatestJob, ...]
    has_sites: bool
    has_users: bool
    note: str | None
    #: What somebody should change, though all that is shown is known.
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pulse:
    """What Redis knows of the moment; ``note`` says what it does not, and why."""

    policy: str
    lanes: Mapping[str, BoardLane] = field(default_factory=dict)
    queued: Mapping[str, int] = field(default_factory=dict)
    rankings: Mapping[str, Sequence[Ranked]] = field(default_factory=dict)
    workers: tuple[Worker, ...] | None = ()
    others: Mapping[str, Sequence[str]] | None = None
    set_aside: Mapping[str, int] = field(default_factory=dict)
    note: str | None = None


class Paced(Generic[T]):
    """A value that is made anew only after ``rest`` times what making it last cost, so that readers stay cheap.

    While it costs a millisecond it is never older than some; a walk over millions of rows takes a bounded share
    of the time however many look. Two threads may make it at once; that does no harm.
    """

    def __init__(self, rest: float = 20.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest = rest
        self._clock = clock
        self._held: tuple[T, float] | None = None

    def get(self, make: Callable[[], T]) -> T:
        """The value held, or a new one from ``make``."""
        began = self._clock()
        if self._held is not None and began < self._held[1]:
            return self._held[0]
        value = make()
        ended = self._clock()
        self._held = (value, ended + self._rest * (ended - began))
        return value


def pulse(board: Board, redis: Redis, settings: Settings) -> Pulse:
    """Read the RQ queues, the workers and the board. Raises RedisError when Redis is away."""
    with redis.pipeline(transaction=False) as pipe:
        for band in settings.bands:
            # Its length and no more: RQ's own counts tidy registries up, and run callbacks, in the process that reads.
            pipe.llen(key_of(band))
        lengths = pipe.execute(raise_on_error=False)
    queued = {band.name: length for band, length in zip(settings.bands, lengths, strict=True)
              if not isinstance(length, ResponseError)}
    found: Any = {
        "queued": queued, "workers": tuple(crew(redis)), "set_aside": aside.counts(redis),
        "others": {kind: sorted(board.presence.alive(kind)) for kind in ("dispatcher", "scheduler")},
    }
    try:
        lanes = {lane.band: lane for lane in board.view.lanes()}
        if lanes.keys() != set(settings.bands.names):
            return Pulse(settings.policy, note=_BOARD_BROKEN, **found)
        rankings = {name: board.view.ranking(name, SITES_A_LANE) for name, lane in lanes.items() if lane.sites}
        policy = board.rules.read().policy
        known = policy if policy in POLICIES else settings.policy
        return Pulse(known, lanes, rankings=rankings, **found)
    except BoardBroken:
        return Pulse(settings.policy, note=_BOARD_BROKEN, **found)
    except BoardLost:
        return Pulse(settings.policy, note=_BOARD_LOST, **found)


def take(session: Session, board: Board, redis: Redis, settings: Settings, now: datetime,
         counts: Paced[dict[Status, int]]) -> Snapshot:
    """The snapshot at ``now``. Without Redis it holds what SQL knows, and a note."""
    bands = settings.bands
    try:
        beat = pulse(board, redis, settings)
        board.probe()
    except RedisError as error:
        bugs.log_once(log, "look at Redis for the dashboard", error)
        beat = Pulse(settings.policy, workers=None, note=_trouble(error))
    return Snapshot(
        at=now,
        counts=counts.get(lambda: count_by_status(session)),
        lanes=_lanes(session, beat, bands, now),
        policy=POLICIES.get(beat.policy, POLICIES[settings.policy]),
        chosen=controls.chosen_policy(session),
        orders=_orders(session, beat, bands, now),
        workers=beat.workers,
        others=beat.others,
        set_aside=beat.set_aside,
        running=_running(session, [worker.slice for worker in beat.workers or () if worker.slice]),
        latest=latest_jobs(session, bands, now),
        has_sites=session.scalar(select(Site.id).limit(1)) is not None,
        has_users=session.scalar(select(UserRecord.id).limit(1)) is not None,
        note=beat.note,
        warnings=_warnings(redis),
    )


def _trouble(error: RedisError) -> str:
    if redis_errors.sort_of(error) is Sort.AWAY:
        return _REDIS_AWAY
    return f"{redis_errors.sentence(error)}. Jobs are accepted and kept, and continue once that is fixed."


def _warnings(redis: Redis) -> tuple[str, ...]:
    """What the operator should see of a Redis that answers, whatever else is known."""
    try:
        state = redis_state.read(redis)
        suspended = [f"The workers are {state.suspension}."] if state.suspension else []
        return (*suspended, *(f"{warning}." for warning in state.warnings))
    except RedisError:
        return ()


def count_by_status(session: Session) -> dict[Status, int]:
    """How many jobs have each status; one walk over an index."""
    counts = session.execute(select(Job.status, func.count()).group_by(Job.status))
    found = {status: count for status, count in counts}  # noqa: C416 - a result has keys(), so dict() fails
    return {status: found.get(status, 0) for status in Status}


def _lanes(session: Session, beat: Pulse, bands: Sequence[Band], now: datetime) -> tuple[Lane, ...]:
    is_running = Job.status == Status.RUNNING
    counted = session.execute(select(Job.band, func.count()).where(is_running).group_by(Job.band))
    running = {band: int(n) for band, n in counted}
    paused = controls.paused_lanes(session)
    lanes = []
    for band, wait_s in figures.oldest_waits(session, bands, now).items():
        lane = beat.lanes.get(band.name)
        lanes.append(Lane(
            band, running.get(band.name, 0), wait_s, lane.waiting if lane else None, beat.queued.get(band.name),
            lane.sites if lane else None, lane.backlog_s if lane else None, band.name in paused,
        ))
    return tuple(lanes)


def _orders(session: Session, beat: Pulse, bands: Sequence[Band], now: datetime) -> tuple[Order, ...] | None:
    if beat.note:
        return None
    ids = {row.site for ranking in beat.rankings.values() for row in ranking}
    named = session.execute(select(Site.id, Site.name).where(Site.id.in_(ids)))
    names = {id_: str(name) for id_, name in named}
    orders = []
    for band in bands:
        if ranking := beat.rankings.get(band.name):
            ages = POLICIES[beat.policy].weights(band).age * now.timestamp()
            orders.append(Order(band, beat.lanes[band.name].sites, standings(ranking, names, ages)))
    return tuple(orders)


def standings(ranking: Sequence[Ranked], names: Mapping[int, str], ages: float) -> tuple[Standing, ...]:
    """A lane's order for people; ``ages`` is the policy's weight of age times now, in epoch seconds."""
    least_used = max(row.share for row in ranking)
    rows = []
    for place, row in enumerate(ranking, 1):
        # A head that has just left its line has no age: it is as good as now.
        age = row.age + ages if row.age else 0.0
        share = row.share - least_used
        rows.append(Standing(
            place, row.site, names.get(row.site, f"site {row.site}"), row.boost + share + age + row.size, row.score,
            row.waiting, row.points, row.boost, share, age, row.size,
        ))
    return tuple(rows)


def _running(session: Session, slices: Iterable[str]) -> dict[str, list[int]]:
    """The jobs that run now, by the slice that carries them."""
    is_running = Job.status == Status.RUNNING
    rows = session.execute(select(Job.slice, Job.id).where(is_running, Job.slice.in_(list(slices))).order_by(Job.id))
    jobs: dict[str, list[int]] = {}
    for slice_id, job in rows:
        jobs.setdefault(slice_id or "", []).append(job)
    return jobs
