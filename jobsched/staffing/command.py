"""``jobsched plan``: how many workers each lane should get, and how many a target wait requires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError
from rich.box import SIMPLE_HEAD
from rich.table import Table

from jobsched.base import bugs, redis_errors, terminal
from jobsched.base.connections import connect
from jobsched.base.jsontext import dumps
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.domain import Band, JobschedError
from jobsched.staffing import capacity, plan
from jobsched.staffing.capacity import Demand
from jobsched.staffing.plan import Slot

#: The width of a table that is not for a terminal.
_WIDTH = 120
#: What means that were not measured are.
_ASSUMED = {
    "estimated": "no job of this lane has ended lately: this is the mean estimate of its waiting jobs",
    "bound": "no job of this lane has ended lately, and none waits: this is the bound of the band",
}


class NoAnswer(JobschedError):
    """Redis, which knows the load, does not serve."""


@dataclass(frozen=True)
class LanePlan:
    """A lane's demand, how many workers have it as their own, how many help it, and how many the target takes."""

    demand: Demand
    own: int
    helps: int
    needed: int | None


@dataclass(frozen=True)
class Outlook:
    """The plan of some workers; ``seen`` is whether any load was. ``wanted`` workers keep up with it.

    ``wait_s`` is the target for the mean wait, if there is one.
    """

    slots: Sequence[Slot]
    seen: bool
    wanted: int
    lanes: Sequence[LanePlan]
    wait_s: float | None

    @property
    def needed(self) -> int:
        """The workers that the target takes, where each lane has its own."""
        return sum(lane.needed or 0 for lane in self.lanes)


def main(settings: Settings, *, workers: int | None, wait_s: float | None, as_json: bool) -> None:
    """Print the outlook as a table or as JSON. Raises NoAnswer, and BoardLost when no dispatcher has started yet."""
    board = Board(connect(settings.redis_url, patient=False))
    try:
        demands = capacity.demands(board.view.lanes(), settings.bands)
    except RedisError as error:
        if bugs.is_bug(error):
            raise
        raise NoAnswer(f"the load is not known: {redis_errors.sentence(error)}") from error
    found = outlook(demands, workers or settings.workers, settings.bands, wait_s)
    console = terminal.console(_WIDTH)
    if as_json:
        console.out(dumps(as_numbers(found), indent=1))
        return
    console.print(headline(found), style="bold")
    console.print(table(found))
    for line in notes(found):
        console.print(line)


def outlook(demands: Sequence[Demand], workers: int, bands: Sequence[Band], wait_s: float | None) -> Outlook:
    """The plan of ``workers`` for the demand in each lane, and what the target takes."""
    load = capacity.work(demands, workers)
    slots = plan.slots(workers, bands, load)
    lanes = [
        LanePlan(lane, sum(lane.band in slot.own for slot in slots), sum(lane.band in slot.helps for slot in slots),
                 None if wait_s is None else capacity.workers_for_wait(lane, wait_s))
        for lane in demands
    ]
    return Outlook(slots, sum(load.values()) >= plan.LEAST, capacity.workers_to_keep_up(demands), lanes, wait_s)


def as_numbers(found: Outlook) -> dict[str, Any]:
    """An outlook for JSON; times are in seconds, loads in worker-seconds a second."""
    target = {} if found.wait_s is None else {"wait_s": found.wait_s, "needed": found.needed}
    return {
        "workers": len(found.slots), "seen": found.seen, "wanted": found.wanted, **target,
        "lanes": [_row(lane) for lane in found.lanes],
        "slots": [{"own": [band.label for band in slot.own], "helps": [band.label for band in slot.helps]}
                  for slot in found.slots],
    }


def _row(lane: LanePlan) -> dict[str, Any]:
    asks = lane.demand
    row = {
        "lane": asks.band.label, "arrivals_per_s": asks.arrivals_per_s, "mean_s": asks.mean_s,
        "mean_from": asks.mean_from, "scv": asks.scv, "load": asks.load, "backlog_s": asks.backlog_s,
        "held_s": asks.held_s, "own": lane.own, "helps": lane.helps,
    }
    return row if lane.needed is None else {**row, "needed": lane.needed}


def headline(found: Outlook) -> str:
    """For whom the plan is, and by what."""
    if found.seen:
        return f"{_workers(len(found.slots))}, for the load of the last minutes"
    return f"No load lately: {_workers(len(found.slots))}, planned as if every lane got equally many jobs"


def table(found: Outlook) -> Table:
    """An outlook for people: a row a lane, and their sums."""
    drawn = Table(box=SIMPLE_HEAD)
    drawn.add_column("lane", no_wrap=True)
    target = () if found.wait_s is None else (f"for {found.wait_s:g} s",)
    for column in ("arrivals/s", "mean s", "load", "backlog s", "own", "helpers", *target):
        drawn.add_column(column, justify="right", no_wrap=True)
    for lane in found.lanes:
        asks = lane.demand
        mark = "*" if asks.mean_from in _ASSUMED else ""
        mean = "-" if asks.mean_s is None else f"{mark}{asks.mean_s:.3g}"
        drawn.add_row(asks.band.label, _number(asks.arrivals_per_s), mean, _number(asks.load), _number(asks.backlog_s),
                      str(lane.own), str(lane.helps), *([str(lane.needed)] if target else []))
    drawn.add_section()
    drawn.add_row("all", *_sums(found.lanes), "", "", *([str(found.needed)] if target else []))
    return drawn


def notes(found: Outlook) -> list[str]:
    """What stands below the table."""
    said = [f"plan: {plan.told(found.slots)}; workers of longer lanes help shorter lanes",
            f"to keep up with the load, and finish the backlog within 100 s: {_workers(found.wanted)}"]
    if found.wait_s is not None:
        target = f"for a mean wait of {found.wait_s:g} s, if every lane had workers of its own"
        said.append(f"{target}: {_workers(found.needed)}")
    if held_s := sum(lane.demand.held_s for lane in found.lanes):
        said.append(f"pauses and limits hold {_number(held_s)} s of the backlog; no worker is planned for it")
    said += [f"* {lane.demand.band.label}: {_ASSUMED[lane.demand.mean_from]}"
             for lane in found.lanes if lane.demand.mean_from in _ASSUMED]
    return said


def _sums(lanes: Sequence[LanePlan]) -> tuple[str, str, str, str]:
    asks = [lane.demand for lane in lanes]
    return (_number(sum(lane.arrivals_per_s for lane in asks)), "", _number(sum(lane.load for lane in asks)),
            _number(sum(lane.backlog_s for lane in asks)))


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
