"""The board in plain dictionaries, written from the design and scored by ``policy.py``: what the Lua is held to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from jobsched.domain import Fence, SiteFacts, Slice, WaitingJob
from jobsched.policy import POLICIES, Standing, line_score, points, score
from tests.support import BANDS, TIERS

Line = tuple[int, str]


@dataclass(frozen=True)
class Flight:
    """A slice that is with a worker: its jobs, its estimate, and its site's tag after it."""

    site: int
    band: str
    jobs: tuple[int, ...]
    seconds: float
    finish: float


class Model:
    """Does what the board promises to do, one job and one dictionary at a time."""

    def __init__(self, policy: str, epoch: str, now: float) -> None:
        self.epoch, self.now = epoch, now
        self.weights = {band.name: POLICIES[policy].weights(band) for band in BANDS}
        self.waiting: dict[int, WaitingJob] = {}
        self.line_scores: dict[int, float] = {}
        self.flights: dict[str, Flight] = {}
        self.sites: dict[int, SiteFacts] = {}
        self.inactive: set[int] = set()
        self.cuts = 0
        # Start tags: of sites in lanes, of users in lines; v is a virtual time.
        self.tags: defaultdict[Line, float] = defaultdict(float)
        self.joined: defaultdict[Line, float] = defaultdict(float)
        self.v: defaultdict[str, float] = defaultdict(float)
        self.user_tags: defaultdict[Line, dict[int, float]] = defaultdict(dict)
        self.line_v: defaultdict[Line, float] = defaultdict(float)

    # A job's way

    def place(self, jobs: Iterable[WaitingJob]) -> int:
        return sum(self._place(job) for job in jobs)

    def take(self, band: str, slices: int, budget_s: float, most_jobs: int) -> list[Slice]:
        return [self._cut(band, budget_s, most_jobs) for _ in range(slices) if self.order(band)]

    def settle(self, slice_id: str, used_s: float | None) -> bool:
        flight = self.flights.pop(slice_id, None)
        if flight and used_s is not None:
            line = (flight.site, flight.band)
            right = flight.finish + (used_s - flight.seconds) / self._facts(flight.site).weight
            self.tags[line] += max(right, self.joined[line]) - max(flight.finish, self.joined[line])
        return flight is not None

    def adopt(self, slice_: Slice) -> bool:
        if slice_.id in self.flights:
            return False
        jobs = tuple(fence.job for fence in slice_.jobs)
        for job in jobs:
            self._drop(job)
        line = (slice_.site, slice_.band)
        self.flights[slice_.id] = Flight(*line, jobs, 0.0, self.tags[line])
        return True

    def drop(self, jobs: Iterable[int]) -> dict[int, int]:
        return {job: self._drop(job) for job in jobs}

    def tell_site(self, facts: SiteFacts) -> int:
        changed = self.sites.get(facts.id) != facts
        self.sites[facts.id] = facts
        return int(changed)

    def tell_user(self, user: int, active: bool) -> int:
        changed = (user in self.inactive) == active
        (self.inactive.discard if active else self.inactive.add)(user)
        return int(changed)

    # Counting again

    def line(self, site: int, band: str) -> list[WaitingJob]:
        jobs = [job for job in self.waiting.values() if (job.site, job.band) == (site, band)]
        return sorted(jobs, key=lambda job: (self.line_scores[job.id], job.id))

    def pending(self, site: int) -> dict[str, int]:
        return dict(Counter(job.band for job in self.waiting.values() if job.site == site))

    def points(self, site: int) -> int:
        totals = Counter(job.user for job in self.waiting.values() if job.user not in self.inactive)
        here = {job.user for job in self.waiting.values() if job.site == site}
        users = {user: total for user, total in totals.items() if user in here}
        return points(users, self.pending(site), self._facts(site).record_capacity, TIERS, BANDS)

    def running(self, site: int) -> int:
        return sum(len(flight.jobs) for flight in self.flights.values() if flight.site == site)

    def flying(self, band: str) -> int:
        return sum(len(flight.jobs) for flight in self.flights.values() if flight.band == band)

    def flies(self, job: int) -> bool:
        return any(job in flight.jobs for flight in self.flights.values())

    def scores(self, band: str) -> dict[int, float]:
        sites = {job.site for job in self.waiting.values() if job.band == band}
        return {site: score(self._standing(site, band), self.weights[band]) for site in sites}

    def order(self, band: str) -> list[int]:
        """The lane's sites, next one first; of equal scores Redis serves the greatest name."""
        scores = self.scores(band)
        return sorted(scores, key=lambda site: (scores[site], str(site)), reverse=True)

    # Inside

    def _facts(self, site: int) -> SiteFacts:
        return self.sites.get(site, SiteFacts(site, 1))

    def _standing(self, site: int, band: str) -> Standing:
        head = self.line(site, band)[0]
        return Standing(self.points(site), self.tags[site, band], head.enqueued_at, head.execution_time)

    def _place(self, job: WaitingJob) -> int:
        if job.id in self.waiting or self.flies(job.id):
            return 0
        line = (job.site, job.band)
        if not self.line(*line) and self.v[job.band] > self.tags[line]:
            self.tags[line] = self.joined[line] = self.v[job.band]
        start = max(self.line_v[line], self.user_tags[line].get(job.user, 0.0))
        self.user_tags[line][job.user] = start + job.execution_time
        self.line_scores[job.id] = line_score(start, job.enqueued_at, job.execution_time, self.weights[job.band])
        self.waiting[job.id] = job
        return 1

    def _cut(self, band: str, budget_s: float, most_jobs: int) -> Slice:
        site = self.order(band)[0]
        at_dispatch, line = self.points(site), (site, band)
        jobs: list[WaitingJob] = []
        seconds = 0.0
        for job in self.line(site, band):
            if len(jobs) == most_jobs or (jobs and seconds + job.execution_time > budget_s * (1 + 1e-9)):
                break
            if jobs and (job.attempt or jobs[0].attempt):
                break
            jobs.append(job)
            seconds += job.execution_time
        self._advance(line, jobs[-1])
        for job in jobs:
            del self.waiting[job.id]
        self._end_line(line)
        self.v[band] = max(self.v[band], self.tags[line])
        self.tags[line] += seconds / self._facts(site).weight
        self.cuts = max(self.cuts + 1, int(self.now * 1e6))
        slice_id = f"{self.epoch}-{self.cuts}"
        self.flights[slice_id] = Flight(site, band, tuple(job.id for job in jobs), seconds, self.tags[line])
        return Slice(slice_id, site, band, at_dispatch, self.now, tuple(Fence(job.id, job.attempt) for job in jobs))

    def _advance(self, line: Line, job: WaitingJob) -> None:
        weights = self.weights[job.band]
        if weights.share:
            rest = weights.age * job.enqueued_at + weights.size * job.execution_time
            self.line_v[line] = (self.line_scores[job.id] - rest) / weights.share

    def _end_line(self, line: Line) -> None:
        if not self.line(*line):
            self.user_tags.pop(line, None)
            self.line_v.pop(line, None)

    def _drop(self, job: int) -> int:
        if self.flies(job):
            return -1
        gone = self.waiting.pop(job, None)
        if gone is None:
            return 0
        self._end_line((gone.site, gone.band))
        return 1
