"""A model of the guarantees for every job, in a dictionary, written without regard to the code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from jobsched.domain import Fence
from jobsched.ledger.moves import Outcome


@dataclass(frozen=True)
class ModelJob:
    """A job as it must be."""

    status: str
    attempt: int
    max_attempts: int
    run_at: datetime | None = None
    band: str = "task_01"

    @property
    def waits(self) -> bool:
        return self.status in ("scheduled", "pending")

    @property
    def can_be_retried(self) -> bool:
        return self.status in ("failed", "cancelled")

    @property
    def ended(self) -> bool:
        return self.status in ("completed", "failed", "cancelled")


class LedgerModel:
    """The jobs, and how often each was recorded as completed."""

    def __init__(self) -> None:
        self.jobs: dict[int, ModelJob] = {}
        self.completed: list[int] = []
        self._ids: set[int] = set()

    def add(self, id_: int, job: ModelJob) -> None:
        """A new job. A late worker holds on to nothing but ids, so none may come twice, also not of a deleted job."""
        assert id_ not in self._ids, f"id {id_} was given again"
        self._ids.add(id_)
        self.jobs[id_] = job

    def start(self, fences: Iterable[Fence]) -> list[Fence]:
        """What the start fence must let through: jobs that are pending at the attempt that was dispatched."""
        let_through = []
        for fence in fences:
            job = self.jobs.get(fence.job)
            if job and (job.status, job.attempt) == ("pending", fence.attempt):
                self.jobs[fence.job] = replace(job, status="running", attempt=job.attempt + 1)
                let_through.append(Fence(fence.job, fence.attempt + 1))
        return let_through

    def finish(self, outcomes: Sequence[Outcome]) -> int:
        """How many outcomes the finish fence must record: those of starts that still run."""
        recorded = 0
        for outcome in outcomes:
            job = self.jobs.get(outcome.job)
            if job and (job.status, job.attempt) == ("running", outcome.attempt):
                recorded += 1
                free = outcome.band is not None and not outcome.counts  # an overrun that costs no attempt
                self.jobs[outcome.job] = replace(
                    job, status=outcome.status.value, run_at=outcome.run_at or job.run_at,
                    band=outcome.band or job.band, max_attempts=job.max_attempts + free)
                self.completed += [outcome.job] * (outcome.status == "completed")
        return recorded

    def runs(self, fence: Fence) -> bool:
        """Whether a start is the one that runs."""
        job = self.jobs.get(fence.job)
        return job is not None and (job.status, job.attempt) == ("running", fence.attempt)

    def sweep(self, found: dict[int, tuple[str, int, int, str]], now: datetime, left_alone: Iterable[int], *,
              whole: bool) -> list[str]:
        """Take over what a sweep has done to statuses and attempts; returns where it did what it may not.

        Jobs in ``left_alone`` run in slices whose leases are good. A sweep that came to its end (``whole``) must have
        woken what was due.
        """
        safe, faults = set(left_alone), []
        for id_, job in list(self.jobs.items()):
            status, attempt, most, band = found.get(id_, ("gone", 0, 0, ""))
            kept = (attempt, most, band) == (job.attempt, job.max_attempts, job.band)
            if not kept or status not in self._after_a_sweep(job, now, safe=id_ in safe, whole=whole):
                faults.append(f"job {id_} was {job}, and is {status} at attempt {attempt} of {most} in {band} after a "
                              "sweep")
            self.jobs[id_] = replace(job, status=status, attempt=attempt)
        return faults

    def _after_a_sweep(self, job: ModelJob, now: datetime, *, safe: bool, whole: bool) -> set[str]:
        """What the status of a job may be after a sweep."""
        if job.status == "scheduled" and job.run_at is not None and job.run_at <= now:
            return {"pending"} if whole else {"scheduled", "pending"}
        if job.status == "running" and not safe:
            return {"running", "failed" if job.attempt >= job.max_attempts else "pending"}
        return {job.status}
