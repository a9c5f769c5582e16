"""The dispatcher: moves slices from the board to the RQ queues, as late and as few as possible."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from threading import Timer

from redis import Redis
from redis.exceptions import RedisError

from jobsched.base import identity
from jobsched.base.connections import connect
from jobsched.base.failpoints import failpoint
from jobsched.base.loop import run_forever
from jobsched.board import Board, Code
from jobsched.config import Settings
from jobsched.dispatch import repair
from jobsched.domain import Band, BoardBroken, BoardLost
from jobsched.ledger.database import ledger_app, refuse_unfit
from jobsched.queues import lanes, redis_state, seal

log = logging.getLogger(__name__)

#: The doorbell wakes the dispatcher for work; this is how often it looks without being called, in seconds.
IDLE_S = 1.0
#: While another dispatcher makes a lost board again, this one looks as often, in seconds.
AGAIN_S = 0.1
#: It counts as alive for this long after a tick, in seconds.
ALIVE_S = 10.0


class Dispatcher:
    """Takes slices from the board and enqueues them. Any number may run at once; none leads."""

    def __init__(self, settings: Settings, board: Board, redis: Redis) -> None:
        self.name = identity.process_name()
        self._settings = settings
        self._board = board
        self._redis = redis
        self._sweeper = repair.Sweeper(settings, board, redis)
        self._next_sweep = 0.0
        self._settled_in = False
        self._next_due_s: float | None = None
        self._listeners: Mapping[str, int] = {}
        self._next_note = 0.0
        self._warned: list[str] = []

    def tick(self) -> float:
        """Sweep when it is time to, then fill every lane's window. Returns the seconds to sleep, unless rung."""
        self._board.presence.beat("dispatcher", self.name, ALIVE_S)
        self._board.presence.beat("key", seal.ours().prints[0], ALIVE_S)
        self._settled_in = self._settled_in or self._sweeper.adopt_settings()
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + self._settings.repair_every_s
            self._warn()
            self._sweeper.sweep()
        try:
            self.dispatch()
        except BoardBroken:
            return AGAIN_S if self._sweeper.rebuild() else IDLE_S
        except BoardLost:
            self._sweeper.rebuild()
            return AGAIN_S
        return min(IDLE_S, self._settings.repair_every_s, IDLE_S if self._next_due_s is None else self._next_due_s)

    def _warn(self) -> None:
        """Say in the log how Redis should be set up differently, once."""
        warnings = redis_state.read(self._redis).warnings
        for warning in warnings:
            if warning not in self._warned:
                log.warning("%s", warning)
        self._warned = warnings

    def dispatch(self) -> int:
        """Fill every lane's window once; returns how many slices were handed over."""
        settings, handed = self._settings, 0
        budget_s = settings.slice_budget_ms / 1000
        room = lanes.room(self._redis, settings.bands, budget_s)
        self._note_listeners({band: lane.workers for band, lane in room.items()})
        self._next_due_s = self._board.release()
        failpoint("dispatch.released")
        servable = {lane.band for lane in self._board.view.lanes() if lane.is_open}
        for band in settings.bands:
            if room[band.name].slices and band.name in servable:
                slices = self._board.take(
                    band.name, room[band.name].slices, budget_s=budget_s, lease_s=settings.lease_s,
                )
                failpoint("dispatch.taken")
                lanes.enqueue(self._redis, band, slices)
                failpoint("dispatch.enqueued")
                handed += len(slices)
        handed += self._hand_on(budget_s)
        if handed:  # by which sites have come to the limit of their rate
            self._next_due_s = self._board.view.next_due_s()
        return handed

    def _hand_on(self, budget_s: float) -> int:
        """Hand what workers have set aside, for lack of its task, to those of its lane that know it."""
        asides, handed = self._board.asides(), 0
        codes = self._board.codes.by_band() if asides else {}
        for name, task in asides:
            if band := self._settings.bands.named(name):
                for code in codes.get(name, []):
                    if task in code.tasks:
                        handed += self._hand_on_to(band, task, code, budget_s)
        return handed

    def _hand_on_to(self, band: Band, task: str, code: Code, budget_s: float) -> int:
        room = lanes.side_room(self._redis, band, code, budget_s)
        if not room:
            return 0
        slices = self._board.hand_on(band.name, task, room, budget_s=budget_s, lease_s=self._settings.lease_s)
        failpoint("dispatch.handed_on")
        lanes.enqueue(self._redis, band, slices, code.id)
        failpoint("dispatch.handed_on_enqueued")
        return len(slices)

    def _note_listeners(self, workers: Mapping[str, int]) -> None:
        if workers != self._listeners or time.monotonic() >= self._next_note:
            self._board.rules.set_listeners(workers)
            self._listeners, self._next_note = workers, time.monotonic() + IDLE_S

    def sleep(self, seconds: float) -> None:
        """Sleep until the doorbell rings, or for so long.

        Redis looks at most ten times a second for whose time is up, which would make 3.4 jobs a second of a rate of 5:
        where a site is due sooner than that, we ring ourselves.
        """
        if self._next_due_s is None or seconds >= IDLE_S:
            self._board.wait(seconds)
            return
        alarm = Timer(seconds, self._ring)
        alarm.start()
        try:
            self._board.wait(IDLE_S)
        finally:
            alarm.cancel()

    def _ring(self) -> None:
        with suppress(RedisError):  # who waits hears of that as well
            self._board.ring()

    def rest(self) -> None:
        """Say that this dispatcher ends on purpose."""
        self._board.presence.leave("dispatcher", self.name)


def main(settings: Settings) -> None:
    """Dispatch until SIGTERM or SIGINT."""
    refuse_unfit(settings)
    seal.ours()
    redis = connect(settings.redis_url)
    board = Board(redis)
    dispatcher = Dispatcher(settings, board, redis)
    with ledger_app(settings).app_context():
        run_forever(dispatcher.tick, dispatcher.sleep)
        dispatcher.rest()
