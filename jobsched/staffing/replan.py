"""Decides when the workers of a host follow a new plan: when the load has shifted, and stays shifted."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence

from jobsched.base import bugs
from jobsched.base.connections import connect
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.domain import BoardLost
from jobsched.staffing import capacity, plan
from jobsched.staffing.plan import Slot

log = logging.getLogger(__name__)

#: How often the load is looked at, in seconds.
LOOK_S = 2.0
#: So many looks in a row have to agree: a load at the border of two plans does not send workers to and fro.
AGREED = 3
#: Who looks replaces dead workers as well: Redis gets so long for an answer, in seconds ...
PATIENCE_S = 0.5
#: ... and after none, this is the pause until the next look.
AWAY_S = 10.0


class Agreement:
    """Turns what each look proposes into a change of the ``present`` plan."""

    def __init__(self, present: Sequence[Slot]) -> None:
        self.present = list(present)
        self._proposed: Counter[Slot] = Counter()
        self._looks = 0

    def propose(self, slots: Sequence[Slot]) -> bool:
        """Whether ``slots``, proposed AGREED times in a row, have now become the present plan.

        Each worker keeps its place in the plan: see plan.handed_over.
        """
        proposed = Counter(slots)
        self._looks = self._looks + 1 if proposed == self._proposed else 1
        self._proposed = proposed
        if proposed == Counter(self.present) or self._looks < AGREED:
            return False
        self.present = plan.handed_over(self.present, slots)
        return True


class Planner:
    """The plan of a host's workers by the load, looked at every LOOK_S seconds. Redis never holds it up for long."""

    def __init__(self, settings: Settings) -> None:
        self._workers, self._bands = settings.workers, settings.bands
        self._board = Board(connect(settings.redis_url, timeout_s=PATIENCE_S))
        self._next_look = 0.0
        first = self._look()
        self._agreement = Agreement(plan.slots(self._workers, self._bands) if first is None else first)

    @property
    def slots(self) -> Sequence[Slot]:
        """The slot of each worker."""
        return self._agreement.present

    def changed(self) -> bool:
        """Look at the load if it is time to; whether the slots are others since."""
        if time.monotonic() < self._next_look:
            return False
        proposed = self._look()
        if proposed is None or not self._agreement.propose(proposed):
            return False
        log.info("the load has shifted: %s", plan.told(self.slots))
        return True

    def _look(self) -> list[Slot] | None:
        """What the load asks for now; None when it is not known, or too little to tell."""
        self._next_look = time.monotonic() + LOOK_S
        try:
            demands = capacity.demands(self._board.view.lanes(), self._bands)
            if not capacity.tells(demands):
                return None
            # The workers of all hosts share the load.
            everybody = max(self._workers, len(self._board.presence.alive("worker")))
            load = capacity.work(demands, everybody)
            our_part = {band: value * self._workers / everybody for band, value in load.items()}
            return plan.slots(self._workers, self._bands, our_part)
        except BoardLost:
            return None
        except Exception as error:  # whatever Redis answers: the workers are there, and go on by the plan they have
            self._next_look = time.monotonic() + AWAY_S
            bugs.log_once(log, "look at the load", error)
            return None
