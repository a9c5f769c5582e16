"""The verdict, from the answers to clients, the lines of tasks, and the account in SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from jobsched.domain import TERMINAL
from tests.chaos.audit import Change, Row
from tests.chaos.faults import Kill
from tests.chaos.load import Request
from tests.chaos.notes import Notes

ENDED = {status.value for status in TERMINAL}


@dataclass(frozen=True)
class Rerun:
    """A start that a kill interrupted: how long after the kill the job was started again, and was free to be."""

    job: str
    kill: Kill
    seconds: float
    free_s: float | None


@dataclass
class Verdict:
    """Counts, and the violations: a sentence each, by the job concerned (None: none in particular)."""

    acknowledged: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    lost: set[int] = field(default_factory=set)
    recorded_twice: set[int] = field(default_factory=set)
    started_again: int = 0
    failed_by_faults: int = 0
    most_starts: int = 0
    reruns: list[Rerun] = field(default_factory=list)
    violations: list[tuple[int | None, str]] = field(default_factory=list)

    def blame(self, job: int | None, what: str) -> None:
        self.violations.append((job, what))


def judge(requests: Sequence[Request], rows: Mapping[int, Row], history: Mapping[int, Sequence[Change]],
          notes: Notes, kills: Iterable[Kill]) -> Verdict:
    """Compare the three accounts of what happened."""
    verdict = Verdict()
    _acknowledgements(verdict, requests, rows)
    _keys(verdict, requests, rows)
    for row in rows.values():
        verdict.statuses[row.status] += 1
        _job(verdict, row, history.get(row.id, []), notes)
    verdict.reruns = reruns(notes, kills, history)
    return verdict


def _acknowledgements(verdict: Verdict, requests: Sequence[Request], rows: Mapping[int, Row]) -> None:
    for request in requests:
        if len({tuple(ids) for ids in request.answers}) > 1:
            verdict.blame(None, f"key {request.key}: repeats were answered with other jobs: {request.answers}")
        for job in {job for ids in request.answers for job in ids}:
            verdict.acknowledged += 1
            if job not in rows:
                verdict.lost.add(job)
                verdict.blame(job, "acknowledged, and not in the database")
            elif rows[job].status not in ENDED:
                verdict.lost.add(job)
                verdict.blame(job, f"acknowledged, and still {rows[job].status}")


def _keys(verdict: Verdict, requests: Sequence[Request], rows: Mapping[int, Row]) -> None:
    made: Counter[str] = Counter(row.payload["key"] for row in rows.values())
    for request in requests:
        if made[request.key] not in (0, len(request.jobs)):
            verdict.blame(None, f"key {request.key} made {made[request.key]} jobs, not {len(request.jobs)}")
    told = {job for request in requests for ids in request.answers for job in ids}
    for row in rows.values():
        if row.id not in told and row.status not in ENDED:
            verdict.blame(row.id, f"never acknowledged, but there, and still {row.status}")


def _job(verdict: Verdict, row: Row, changes: Sequence[Change], notes: Notes) -> None:
    starts = notes.starts(str(row.id))
    verdict.started_again += notes.started_again(str(row.id))
    verdict.failed_by_faults += row.status == "failed" and row.payload["fail_until"] < row.max_attempts
    verdict.most_starts = max(verdict.most_starts, row.attempt)
    if sum(change.became in ENDED for change in changes) > 1:
        verdict.recorded_twice.add(row.id)
        verdict.blame(row.id, "its end was recorded more than once")
    if any(change.was in ENDED for change in changes):
        verdict.blame(row.id, "it was changed after its end")
    if max(row.attempt, len(starts)) > row.max_attempts:
        verdict.blame(row.id, f"started {max(row.attempt, len(starts))} times of at most {row.max_attempts}")
    if len({start.attempt for start in starts}) < len(starts):
        verdict.blame(row.id, "two starts under one attempt")
    ends = {note.attempt for note in notes.ends(str(row.id))}
    if row.status == "completed" and row.attempt not in ends:
        verdict.blame(row.id, f"completed, but its task did not end attempt {row.attempt}")


def reruns(notes: Notes, kills: Iterable[Kill], history: Mapping[int, Sequence[Change]]) -> list[Rerun]:
    """The starts that a kill interrupted and that were followed by another, slowest first."""
    killed = {pid: kill for kill in kills for pid in kill.pids}
    found = []
    for start in notes.interrupted():
        following = [note.at for note in notes.starts(start.job) if note.at > start.at]
        kill = killed.get(start.pid)
        if kill and kill.at > start.at and following:
            changes = history[int(start.job)] if history else ()
            freed = [change.at - kill.at for change in changes
                     if change.at > kill.at and (change.was, change.became) == ("running", "pending")]
            found.append(Rerun(start.job, kill, min(following) - kill.at, min(freed, default=None)))
    return sorted(found, key=lambda rerun: -rerun.seconds)
