"""What the sweep reads from the board to compare it with SQL, and the recounts that mend wrong numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobsched.base import aside
from jobsched.board.parse import identity, number, text
from jobsched.board.store import BATCH, VALUES, Part, batched, readable
from jobsched.domain import WaitingJob


class Upkeep(Part):
    """The board as the sweep sees it: jobs and slices whole, and counts that it has counted again."""

    @readable
    def expired(self, limit: int) -> dict[str, tuple[str, list[int]]]:
        """Up to ``limit`` slices whose lease has run out, oldest first: slice to its band and its jobs."""
        ids = self._redis.zrange(
            self._key("flight"), "-inf", self._store.now_s(), byscore=True, offset=0, num=limit)
        return self._carried([text(slice_id) for slice_id in ids])

    @readable
    def flying(self) -> dict[str, tuple[str, list[int]]]:
        """All slices in flight: slice to its band and its jobs. The dispatcher's windows keep them few."""
        return self._carried([text(slice_id) for slice_id in self._redis.zrange(self._key("flight"), 0, -1)])

    @readable
    def known(self, jobs: Sequence[int]) -> set[int]:
        """Those of ``jobs`` that are on the board, waiting or in flight."""
        known: set[int] = set()
        for batch in batched(jobs, BATCH):
            entries = self._redis.hmget(self._key("jobs"), [str(job) for job in batch])
            known.update(job for job, entry in zip(batch, entries, strict=True) if entry is not None)
        return known

    @readable
    def scan_jobs(self, cursor: int, count: int) -> tuple[int, dict[int, WaitingJob]]:
        """About ``count`` jobs on the board from a scan cursor (0: the start) on, by id, and the next cursor.

        Entries that can not be read are set aside: to the scripts they are not there.
        """
        scanned: Any = self._redis.hscan(self._key("jobs"), cursor, count=count)
        cursor, entries = scanned
        jobs = {field: _entry(field, packed) for field, packed in entries.items()}
        foreign = [field for field, job in jobs.items() if job is None]
        for fields in batched(foreign, BATCH):
            self._redis.hdel(self._key("jobs"), *fields)
        if foreign:
            aside.counted(self._redis, VALUES, f"entries of jobs, {text(foreign[0])[:50]!r} for one", len(foreign))
        return int(cursor), {job.id: job for job in jobs.values() if job}

    def recount(self, site: int, most_jobs: int = 20_000) -> int:
        """Mend a site's counts and points from its lines; returns how many numbers were wrong. O(the site's jobs).

        Does nothing above ``most_jobs`` waiting jobs: Redis can do nothing else meanwhile, for about 4 us a job.
        """
        return int(self._store.run("recount", site, most_jobs, self._store.clock()))

    def recount_lanes(self, most_sites: int) -> int:
        """Mend the lanes' counts; returns how many were wrong. Does nothing above ``most_sites`` waiting sites."""
        return int(self._store.run("recount_lanes", most_sites))

    def mend_future(self, lease_s: float) -> int:
        """Mend what a clock that was put back has left in the future; returns how many moments were wrong."""
        return int(self._store.run("future", repr(lease_s), self._store.clock()))

    def _carried(self, slice_ids: Sequence[str]) -> dict[str, tuple[str, list[int]]]:
        with self._redis.pipeline(transaction=False) as pipe:
            for slice_id in slice_ids:
                pipe.hmget(self._key("slice", slice_id), ["band", "jobs"])
            rows = pipe.execute()
        return {
            slice_id: (text(band or ""), [int(job) for job in text(jobs or "").split() if job.isdecimal()])
            for slice_id, (band, jobs) in zip(slice_ids, rows, strict=True)
        }


def _entry(field: Any, packed: Any) -> WaitingJob | None:
    """A job as the board has it; None for an entry that can not be read."""
    try:
        site, user, band, seconds, attempt, enqueued_at, _, tag = text(packed).split(" ")
        number(tag)
        return WaitingJob(identity(field), identity(site), identity(user), band, number(seconds), int(attempt),
                          number(enqueued_at))
    except ValueError:
        return None
