"""Decides when a process that has ended is started again. Pure: the caller passes the time of time.monotonic()."""

from __future__ import annotations

from dataclasses import dataclass

#: The pause before a restart, in seconds; it doubles up to MOST_PAUSE_S while the processes die young.
FIRST_PAUSE_S, MOST_PAUSE_S = 0.2, 5.0
#: A process that lived this many seconds was healthy: the pause after it is FIRST_PAUSE_S again.
HEALTHY_S = 30.0


@dataclass
class Restarts:
    """The restarts of one program or worker that has one process at a time. The first start is due at once.

    A process that keeps ending is started again for ever.
    """

    started_at: float = float("-inf")
    ended_at: float = float("-inf")
    pause_s: float = 0.0

    @property
    def due_at(self) -> float:
        """When the next process may start, once the last one has ended."""
        return self.ended_at + self.pause_s

    def start(self, now: float) -> None:
        """Note that a process starts."""
        self.started_at = now

    def end(self, now: float) -> None:
        """Note that the process has ended, and choose the pause before the next start."""
        is_young = now - self.started_at < HEALTHY_S
        self.pause_s = min(MOST_PAUSE_S, max(FIRST_PAUSE_S, 2 * self.pause_s)) if is_young else FIRST_PAUSE_S
        self.ended_at = now
