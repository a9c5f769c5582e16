"""Checks the notes of a task process: the worker accepts only outcomes of jobs that it gave to the process.

A task can overwrite the notes, like everything in its process. Unusable notes count as missing.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobsched.ledger.moves import Outcome, StartedJob
from jobsched.work import outcome_json
from jobsched.work.notes import OUTCOMES_AT, REMAINS_AT, SIZE, Notes


class Reader:
    """Reads the notes of a process that was given ``jobs``, in turn.

    ``bad`` says what is wrong with them, once that has been met; nothing more is read from then on. ``longest_s``
    bounds how far off the moment can be at which the process is to be killed.
    """

    def __init__(self, notes: Notes, jobs: Sequence[StartedJob], longest_s: float) -> None:
        self.bad: str | None = None
        self._notes, self._jobs, self._longest_s = notes, jobs, longest_s
        self._read, self._at = 0, OUTCOMES_AT

    def new(self, *, ended: bool = False) -> list[Outcome]:
        """What is new: of jobs that have left nothing behind, or, when the process has ``ended``, of all."""
        new: list[Outcome] = []
        head = self._notes.head
        clean, noted, begun = head.clean, head.noted, head.begun  # in this order: a process goes on meanwhile
        if not self._read <= clean <= noted <= begun <= len(self._jobs) or (ended and begun > clean + 1):
            self.bad = self.bad or f"{begun} of {len(self._jobs)} jobs have begun, {noted} have ended"
        while self.bad is None and self._read < (noted if ended else clean):
            try:
                new.append(self._next())
            except ValueError as error:
                self.bad = f"of job {self._jobs[self._read].id}, {error}"
        return new

    @property
    def has_begun(self) -> bool:
        """Whether any job has begun, or ended."""
        return self._read > 0 or bool(self._notes.head.begun)

    def cut_off(self) -> Sequence[StartedJob]:
        """The jobs that were begun and whose end was not read. Of bad notes: all, unless they say some were not.

        None of these may run again at its attempt.
        """
        begun, most = self._notes.head.begun, len(self._jobs) if self.bad else self._read
        return self._jobs[self._read : begun if self._read < begun <= len(self._jobs) else most]

    def remains(self) -> outcome_json.Remains | None:
        """What is known of the job in hand when its task has come to its end."""
        size = self._notes.head.remains
        if not 0 < size <= OUTCOMES_AT - REMAINS_AT:
            return None
        try:
            return outcome_json.remains(self._notes.memory[REMAINS_AT : REMAINS_AT + size])
        except ValueError:
            return None

    def begun_at(self, now: float) -> float:
        """When the latest job was begun, by time.monotonic(), which is ``now``."""
        moment = float(self._notes.head.begun_at)
        return moment if 0 < moment <= now else now

    def is_late(self, now: float) -> bool:
        """Whether the process is to be killed. One that has set itself no bound, or one out of reach, is."""
        kill_at = self._notes.kill_at
        if not 0 < kill_at <= now + self._longest_s:  # not a number is neither
            self.bad = self.bad or f"it is to be killed at {kill_at:g}, and it is {now:g}"
        return self.bad is not None or now >= kill_at

    def _next(self) -> Outcome:
        memory, job = self._notes.memory, self._jobs[self._read]
        end = self._at + 4 + int.from_bytes(memory[self._at : self._at + 4], "little")
        if end > SIZE:
            raise ValueError("it has no end")
        outcome = outcome_json.outcome(memory[self._at + 4 : end])
        if (outcome.job, outcome.attempt) != (job.id, job.attempt):
            raise ValueError(f"it is of attempt {outcome.attempt} of job {outcome.job}")
        self._read, self._at = self._read + 1, end
        return outcome
