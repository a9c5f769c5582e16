"""What the tasks report: the lines that they wrote outside the system."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Note:
    """One line: a task's start, its end, or that it raised. ``at`` is in seconds since the Unix epoch."""

    event: str
    job: str
    attempt: int
    pid: int
    at: float


@dataclass(frozen=True)
class Notes:
    """All lines, by job, in the order in which they were written."""

    by_job: dict[str, list[Note]]

    def starts(self, job: str) -> list[Note]:
        return [note for note in self.by_job.get(job, []) if note.event == "start"]

    def ends(self, job: str) -> list[Note]:
        return [note for note in self.by_job.get(job, []) if note.event == "end"]

    def started_again(self, job: str) -> bool:
        """Whether a job was started once more for another reason than that its task had raised."""
        raised = {(note.attempt, note.pid) for note in self.by_job.get(job, []) if note.event == "raise"}
        starts = self.starts(job)
        return any((start.attempt, start.pid) not in raised for start in starts[:-1])

    def interrupted(self) -> list[Note]:
        """The starts whose process died before the task ended."""
        over = {(note.job, note.attempt, note.pid) for lines in self.by_job.values() for note in lines
                if note.event != "start"}
        return [note for job in self.by_job for note in self.starts(job)
                if (note.job, note.attempt, note.pid) not in over]


def read(path: Path) -> Notes:
    """The lines of a file; none when nothing has started yet."""
    by_job: defaultdict[str, list[Note]] = defaultdict(list)
    if path.exists():
        for line in path.read_text().splitlines():
            event, job, attempt, pid, at = line.split()
            by_job[job].append(Note(event, job, int(attempt), int(pid), float(at)))
    return Notes(dict(by_job))
