"""A model of the board in plain dictionaries, written from the design, to check the scripts against."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from jobsched.domain import Fence, SiteFacts, Slice, WaitingJob
from jobsched.policy import POLICIES, points
from tests.formula import Standing, line_score, score
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
        self._weigh(policy)
        self.waiting: dict[int, WaitingJob] = {}
        # The start tag of each job in its line, and its score there.
        self.starts: dict[int, float] = {}
        self.line_scores: dict[int, float] = {}
        self.flights: dict[str, Flight] = {}
        self.sites: dict[int, SiteFacts] = {}
        self.inactive: set[int] = set()
        self.paused: set[str] = set()
        # What limits sites: when each would have had at its rate all that it got; when it may go on; who was held last.
        self.tat: dict[int, float] = {}
        self.due: dict[int, float] = {}
        self.held: set[int] = set()
        self.cuts = 0
        # Start tags: of sites in lanes, of users in lines; v is a virtual time.
        self.tags: defaultdict[Line, float] = defaultdict(float)
        self.joined: defaultdict[Line, float] = defaultdict(float)
        self.v: defaultdict[str, float] = defaultdict(float)
        self.user_tags: defaultdict[Line, dict[int, float]] = defaultdict(dict)
        self.line_v: defaultdict[Line, float] = defaultdict(float)

    # A job's way

    def place(self, jobs: Iterable[WaitingJob]) -> int:
        placed = sum(self._place(job) for job in jobs)
        self._let_go()
        return placed

    def take(self, band: str, slices: int, budget_s: float, most_jobs: int) -> list[Slice]:
        if band in self.paused:
            return []
        return [self._cut(band, budget_s, most_jobs) for _ in range(slices) if self.order(band)]

    def release(self) -> float | None:
        """Let go whom their rate has held long enough; the seconds until the next one."""
        self.due = {site: due for site, due in self.due.items() if due > self.now}
        self._let_go()
        return min(self.due.values()) - self.now if self.due else None

    def settle(self, slice_id: str, used_s: float | None) -> bool:
        flight = self.flights.get(slice_id)
        if flight and used_s is not None:
            line = (flight.site, flight.band)
            if not self.weights[flight.band].share:
                self.v[flight.band] += max(0.0, used_s - flight.seconds) / (1 + len(self.order(flight.band)))
            right = flight.finish + (used_s - flight.seconds) / self._facts(flight.site).weight
            self.tags[line] += max(right, self.joined[line]) - max(flight.finish, self.joined[line])
        self.flights.pop(slice_id, None)
        self._let_go()
        return flight is not None

    def adopt(self, slice_: Slice) -> bool:
        if slice_.id in self.flights:
            return False
        jobs = tuple(fence.job for fence in slice_.jobs)
        for job in jobs:
            self._drop(job)
        line = (slice_.site, slice_.band)
        self.flights[slice_.id] = Flight(*line, jobs, 0.0, self.tags[line])
        self._let_go()
        return True

    def drop(self, jobs: Iterable[int]) -> dict[int, int]:
        outcomes = {job: self._drop(job) for job in jobs}
        self._let_go()
        return outcomes

    def tell_site(self, facts: SiteFacts) -> int:
        known, old = facts.id in self.sites, self._facts(facts.id)
        self.sites[facts.id] = facts
        if (old.rate_per_s, old.burst) != (facts.rate_per_s, facts.burst):
            self.tat.pop(facts.id, None)
            self.due.pop(facts.id, None)
        self._let_go()
        return int(not known or old != facts)

    def forget_site(self, site: int) -> None:
        for kept in (self.sites, self.tat, self.due):
            kept.pop(site, None)  # type: ignore[attr-defined]
        for band in BANDS:
            self.tags.pop((site, band.name), None)
            self.joined.pop((site, band.name), None)

    def pause_lanes(self, bands: set[str]) -> int:
        changed = len(self.paused ^ bands)
        self.paused = set(bands)
        return changed

    def change_policy(self, policy: str) -> None:
        """Score all that waits anew, each job with the start tag that it has; nobody is behind the lanes' times."""
        self._weigh(policy)
        self.line_scores = {job.id: self._line_score(job) for job in self.waiting.values()}
        for site in {job.site for job in self.waiting.values()}:
            for band in BANDS:
                self._join(site, band.name)

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

    def backlog(self, band: str) -> float:
        """The estimates of what waits, each rounded to microseconds."""
        return _work(job for job in self.waiting.values() if job.band == band)

    def held_backlog(self, band: str) -> float:
        """The same of what is held."""
        return _work(job for job in self.waiting.values() if job.band == band and self.hold(job.site))

    def hold(self, site: int) -> str | None:
        """What keeps a site that waits out of the lanes."""
        facts = self._facts(site)
        if not self.pending(site):
            return None
        if facts.paused:
            return "paused"
        if facts.max_running is not None and self.running(site) >= facts.max_running:
            return "max_running"
        return "rate" if site in self.due else None

    def scores(self, band: str) -> dict[int, float]:
        sites = {job.site for job in self.waiting.values() if job.band == band and not self.hold(job.site)}
        return {site: score(self._standing(site, band), self.weights[band]) for site in sites}

    def order(self, band: str) -> list[int]:
        """The lane's sites, next one first; of equal scores Redis serves the greatest name."""
        scores = self.scores(band)
        return sorted(scores, key=lambda site: (scores[site], str(site)), reverse=True)

    # Inside

    def _weigh(self, policy: str) -> None:
        self.weights = {band.name: POLICIES[policy].weights(band) for band in BANDS}

    def _let_go(self) -> None:
        """A site that is not held any more has saved up nothing."""
        held = {job.site for job in self.waiting.values() if self.hold(job.site)}
        for site in self.held - held:
            for band in self.pending(site):
                self._join(site, band)
        self.held = held

    def _join(self, site: int, band: str) -> None:
        if self.v[band] > self.tags[site, band]:
            self.tags[site, band] = self.joined[site, band] = self.v[band]

    def _facts(self, site: int) -> SiteFacts:
        return self.sites.get(site, SiteFacts(site, 1))

    def _standing(self, site: int, band: str) -> Standing:
        head = self.line(site, band)[0]
        return Standing(self.points(site), self.tags[site, band], head.enqueued_at, head.execution_time)

    def _place(self, job: WaitingJob) -> int:
        if job.id in self.waiting or self.flies(job.id):
            return 0
        line = (job.site, job.band)
        if not self.line(*line):
            self._join(*line)
        self.starts[job.id] = max(self.line_v[line], self.user_tags[line].get(job.user, 0.0))
        self.user_tags[line][job.user] = self.starts[job.id] + job.execution_time
        self.line_scores[job.id] = self._line_score(job)
        self.waiting[job.id] = job
        return 1

    def _line_score(self, job: WaitingJob) -> float:
        return line_score(self.starts[job.id], job.enqueued_at, job.execution_time, self.weights[job.band])

    def _cut(self, band: str, budget_s: float, most_jobs: int) -> Slice:
        order = self.order(band)
        site = order[0]
        at_dispatch, line = self.points(site), (site, band)
        jobs: list[WaitingJob] = []
        seconds = 0.0
        most = min(most_jobs, self._allowed(site))
        for job in self.line(site, band):
            if len(jobs) == most or (jobs and seconds + job.execution_time > budget_s * (1 + 1e-9)):
                break
            if jobs and (job.attempt or jobs[0].attempt):
                break
            jobs.append(job)
            seconds += job.execution_time
        self._spend(site, len(jobs))
        self.line_v[line] = self.starts[jobs[-1].id]
        for job in jobs:
            del self.waiting[job.id]
        self._end_line(line)
        if self.weights[band].share:
            self.v[band] = max(self.v[band], self.tags[line])
            self.tags[line] += seconds / self._facts(site).weight
        else:
            self.v[band] += seconds / len(order)
            self.tags[line] = self.v[band]
        self.cuts = max(self.cuts + 1, int(self.now * 1e6))
        slice_id = f"{self.epoch}-{self.cuts}"
        self.flights[slice_id] = Flight(site, band, tuple(job.id for job in jobs), seconds, self.tags[line])
        self._let_go()
        return Slice(slice_id, site, band, at_dispatch, self.now, tuple(Fence(job.id, job.attempt) for job in jobs))

    def _allowed(self, site: int) -> int:
        """How many jobs a site may have at once, by its cap and by its rate."""
        facts = self._facts(site)
        allowed = 1_000_000 if facts.max_running is None else facts.max_running - self.running(site)
        if facts.rate_per_s:
            each, burst_s = 1 / facts.rate_per_s, (facts.burst - 1) / facts.rate_per_s
            ahead = max(self.tat.get(site, self.now), self.now) - self.now
            allowed = min(allowed, 1 + int((burst_s - ahead) / each + 0.001))
        return allowed

    def _spend(self, site: int, jobs: int) -> None:
        facts = self._facts(site)
        if facts.rate_per_s:
            self.tat[site] = max(self.tat.get(site, self.now), self.now) + jobs * (1 / facts.rate_per_s)
            due = self.tat[site] - (facts.burst - 1) * (1 / facts.rate_per_s)
            if due > self.now:
                self.due[site] = due

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


def _work(jobs: Iterable[WaitingJob]) -> float:
    return sum(int(job.execution_time * 1e6 + 0.5) for job in jobs) / 1e6
