"""``/metrics``: figures for Prometheus, read from Redis and SQL at each scrape, so every web process agrees."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from flask import Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from jobsched.base import aside, bugs
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.domain import Band, BoardLost
from jobsched.ledger.database import reading
from jobsched.ledger.models import utcnow
from jobsched.staffing import capacity
from jobsched.web import current
from jobsched.web.api import figures

log = logging.getLogger(__name__)


def metrics() -> Response:
    """All gauges, in the text format of Prometheus or that of OpenMetrics, as the client asks for."""
    registry = CollectorRegistry()
    registry.register(Gauges(current.board(), current.redis(), current.settings()))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    response = Response(encode(registry), content_type=content_type)
    response.vary.add("Accept")
    return response


class Gauges(Collector):
    """The gauges of the moment. Those whose source is away are left out, and ``jobsched_..._up`` says so with 0."""

    def __init__(self, board: Board, redis: Redis, settings: Settings) -> None:
        self._board, self._redis, self._bands = board, redis, settings.bands

    def collect(self) -> Iterable[Metric]:
        """One look at Redis, and one at SQL."""
        yield from _source("redis", "Redis answers", RedisError, self._of_processes)
        yield from _source("board", "the board has its rules", (RedisError, BoardLost), self._of_lanes)
        yield from _source("database", "the database answers", SQLAlchemyError, self._of_ledger)

    def _of_processes(self) -> Iterable[Metric]:
        for kind in ("worker", "dispatcher", "scheduler"):
            yield GaugeMetricFamily(f"jobsched_{kind}s_alive", f"Processes that have shown themselves lately: {kind}s.",
                                    len(self._board.presence.alive(kind)))
        refused = CounterMetricFamily("jobsched_set_aside", "What Redis held that was no good, and was taken out of the"
                                      " way: forged or unreadable jobs, entries, keys.", labels=["what"])
        for what, number in sorted(aside.counts(self._redis).items()):
            refused.add_metric([what], number)
        yield refused

    def _of_lanes(self) -> Iterable[Metric]:
        found = self._board.view.lanes()
        demands, counts = capacity.demands(found, self._bands), {lane.band: lane for lane in found}
        lanes = [(one, counts[one.band.name]) for one in demands if one.band.name in counts]

        def by_lane(name: str, what: str, value: Callable[..., float]) -> Metric:
            return _by_lane(name, what, {one.band: value(one, count) for one, count in lanes})

        yield by_lane("backlog_worker_seconds", "Estimated worker-seconds of the jobs that wait on the board.",
                      lambda one, _: one.backlog_s)
        yield by_lane("held_worker_seconds", "The part of the backlog that pauses and limits keep from being served.",
                      lambda one, _: one.held_s)
        yield by_lane("waiting_jobs", "Jobs that wait on the board.", lambda _, count: count.waiting)
        yield by_lane("flying_jobs", "Jobs handed to workers, queued or running.", lambda _, count: count.flying)
        yield by_lane("lane_paused", "1 while the lane is paused.", lambda _, count: count.paused)
        yield by_lane("arrivals_per_second", "Jobs that came in a second, lately.", lambda one, _: one.arrivals_per_s)
        yield by_lane("load", "Worker-seconds of work that came in a second, lately: how many workers it keeps busy.",
                      lambda one, _: one.load)
        yield GaugeMetricFamily(
            "jobsched_workers_wanted",
            "Workers that keep up with the load, and do within 100 seconds what waits and is not held.",
            capacity.workers_to_keep_up(demands))

    def _of_ledger(self) -> Iterable[Metric]:
        with reading() as session:
            waits = figures.oldest_waits(session, self._bands, utcnow())
        yield _by_lane("oldest_wait_seconds", "How long the pending job that waits longest has waited; 0 without any.",
                       {band: wait_s or 0.0 for band, wait_s in waits.items()})


def _source(name: str, what: str, away: type[Exception] | tuple[type[Exception], ...],
            gauges: Callable[[], Iterable[Metric]]) -> Iterable[Metric]:
    """What a source tells, after whether it does: 1 or 0."""
    try:
        found = list(gauges())
        up = 1
    except away as error:
        bugs.log_once(log, f"tell the metrics of {name}", error)
        found, up = [], 0
    return [GaugeMetricFamily(f"jobsched_{name}_up", f"1 while {what}.", up), *found]


def _by_lane(name: str, what: str, values: Mapping[Band, float]) -> Metric:
    gauge = GaugeMetricFamily(f"jobsched_{name}", what, labels=["lane"])
    for band, value in values.items():
        gauge.add_metric([band.label], value)
    return gauge
