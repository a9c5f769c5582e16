"""The faults of processes, drawn from a seed: what breaks when, and for how long. Server faults are in ``troubles``."""

from __future__ import annotations

import heapq
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

import psutil

from tests.chaos.stack import Member
from tests.chaos.troubles import TROUBLES, lacking
from tests.chaos.world import Begun, World

#: Seconds between two kills, two stops, two faults of the servers (from one's end to the next one's begin).
KILL_EVERY_S, STOP_EVERY_S, TROUBLE_EVERY_S = (1.0, 2.0), (4.0, 9.0), (2.0, 6.0)
#: How long a process stays stopped, in seconds.
STOPPED_S = (5.0, 20.0)
#: The share of Redis's replies that are lost.
LOSE_REPLIES = 0.01
#: How often each role is hit. A horse that is stopped for longer than its lease comes back to a job that others have.
KILLED = {"web": 1, "web worker": 1, "dispatcher": 2, "worker.py": 1, "RQ worker": 3, "horse": 6, "scheduler": 1}
STOPPED = {"web": 1, "web worker": 1, "dispatcher": 2, "worker.py": 1, "RQ worker": 2, "horse": 8, "scheduler": 1}
#: The faults that are not of a server.
OF_PROCESSES = ("kill", "stop", "lose")
#: Every fault by its name in FAULTS.
KINDS = (*OF_PROCESSES, *TROUBLES)


@dataclass(frozen=True)
class Kill:
    """A process that was killed, with those that die with it, and who was there before.

    ``at`` is in seconds since the Unix epoch.
    """

    role: str
    at: float
    pids: frozenset[int]
    before: frozenset[int]


@dataclass(frozen=True)
class Spell:
    """A fault that lasted: what, from when, until when."""

    what: str
    began: float
    ended: float


@dataclass
class Faults:
    """Breaks a world for a while, by a seed. ``kinds`` limits it to some of KINDS."""

    world: World
    seed: int
    kinds: Sequence[str] = KINDS
    counts: Counter[str] = field(default_factory=Counter)
    #: How many faults of servers lasted for a while.
    outages: int = 0
    kills: list[Kill] = field(default_factory=list)
    spells: list[Spell] = field(default_factory=list)
    #: Seconds from a kill until a process of that role was born again.
    back_s: dict[str, list[float]] = field(default_factory=dict)
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)
    _open: dict[str, tuple[float, Callable[[], None]]] = field(default_factory=dict)
    _troubles: dict[str, int] = field(default_factory=dict)
    _missing: list[Kill] = field(default_factory=list)
    _stopped: list[psutil.Process] = field(default_factory=list)

    def run(self, seconds: float) -> float:
        """Break things for ``seconds``, then mend all that is still broken; returns when that was (Unix epoch)."""
        self._begin()
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                while self._due and self._due[0][0] <= time.monotonic():
                    heapq.heappop(self._due)[2]()
                self.look()
                time.sleep(0.1)
        finally:
            self.mend()
        return time.time()

    def look(self) -> None:
        """See which of the killed are back."""
        if not self._missing:
            return
        members = self.world.stack.members()
        for kill in list(self._missing):
            if any(member.role == kill.role and member.pid not in kill.before for member in members):
                self.back_s.setdefault(kill.role, []).append(time.time() - kill.at)
                self._missing.remove(kill)

    def mend(self) -> None:
        """End every fault that lasts."""
        self.world.redis_proxy.lose_replies = 0.0
        for what in list(self._open):
            self._end(what)
        for process in self._stopped:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)

    # The schedule

    def _begin(self) -> None:
        if "lose" in self.kinds:
            self.world.redis_proxy.lose_replies = LOSE_REPLIES
        left_out = lacking(self.world, self.kinds)
        self._troubles = {name: trouble.weight for name, trouble in TROUBLES.items()
                          if name in self.kinds and name not in left_out}
        for kind, wanted, every_s, act in (
            ("kill", "kill" in self.kinds, KILL_EVERY_S, self._kill),
            ("stop", "stop" in self.kinds, STOP_EVERY_S, self._stop),
            ("trouble", bool(self._troubles), TROUBLE_EVERY_S, self._trouble),
        ):
            if wanted:
                self._repeat(random.Random(f"{self.seed}:{kind}"), every_s, act)

    def _repeat(self, rng: random.Random, every_s: tuple[float, float],
                act: Callable[[random.Random], float]) -> None:
        """Call ``act`` again and again, ``every_s`` after the seconds that it returned."""

        def turn() -> None:
            lasts_s = act(rng)
            self._after(lasts_s + rng.uniform(*every_s), turn)

        self._after(rng.uniform(*every_s), turn)

    def _after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), what))

    # Processes

    def _kill(self, rng: random.Random) -> float:
        role = rng.choices(list(KILLED), list(KILLED.values()))[0]
        if member := self._one_of(role, rng):
            with suppress(psutil.Error):
                below = frozenset(child.pid for child in member.process.children(recursive=True))
                before = frozenset(other.pid for other in self.world.stack.members())
                kill = Kill(member.role, time.time(), below | {member.pid}, before)
                member.process.kill()
                self.kills.append(kill)
                self.counts[f"kill -9 {member.role}"] += 1
                if member.role != "horse":
                    self._missing.append(kill)
        # A role that is empty just now is not made up for by the others: the less there is to run, the more often they
        # would be killed, until nobody lives for long enough to start anything.
        return 0.0

    def _stop(self, rng: random.Random) -> float:
        role, lasts_s = rng.choices(list(STOPPED), list(STOPPED.values()))[0], rng.uniform(*STOPPED_S)
        member = self._one_of(role, rng)
        if member:
            with suppress(psutil.Error):
                began = time.time()
                member.process.suspend()
                self.spells.append(Spell(f"SIGSTOP {member.role} {member.pid}", began, began + lasts_s))
                self._stopped.append(member.process)
                self.counts[f"SIGSTOP {member.role}"] += 1
                self._after(lasts_s, lambda: self._continue(member))
        return 0.0

    def _continue(self, member: Member) -> None:
        with suppress(psutil.Error):
            member.process.resume()

    def _one_of(self, role: str, rng: random.Random) -> Member | None:
        """A living process of that role; None when there is none."""
        number = rng.random()
        named = [member for member in self.world.stack.members() if member.role == role]
        return named[int(number * len(named))] if named else None

    # Servers

    def _trouble(self, rng: random.Random) -> float:
        name = rng.choices(list(self._troubles), list(self._troubles.values()))[0]
        began = time.time()
        begun = TROUBLES[name].begin(self.world, rng)
        if begun is None:
            return 0.0
        if begun.what is not None:
            self._note(begun.what, began, begun)
        return begun.lasts_s

    def _note(self, what: str, began: float, begun: Begun) -> None:
        self.counts[what] += 1
        if begun.end is None:
            self.spells.append(Spell(what, began, time.time()))
            return
        self.outages += 1
        self._open[what] = (began, begun.end)
        self._after(begun.lasts_s, lambda: self._end(what))

    def _end(self, what: str) -> None:
        began, end = self._open.pop(what, (0.0, None))
        if end:
            end()
            self.spells.append(Spell(what, began, time.time()))
