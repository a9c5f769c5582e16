"""After any events in any order, the board equals the model in plain Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from jobsched.board import Board, Lane
from jobsched.domain import Fence, SiteFacts, Slice, WaitingJob
from jobsched.policy import POLICIES
from tests.integration.board.board_model import Model
from tests.support import BANDS, TIERS, waiting_job

NOW = 1_700_000_000.0
#: Few of each, so that sites, users and lines meet; the fractions are not exact in binary.
SITES, USERS = st.integers(1, 3), st.integers(1, 3)
SECONDS = st.sampled_from([0.001, 0.15, 0.2, 0.3, 0.7, 1.0, 2.7])
LANES = st.sampled_from(["task_01", "task_04", "task_04", "task_04", "task_05"])

placed = st.builds(
    lambda site, user, seconds, later, copies, attempt: ("place", site, user, seconds, NOW + later, copies, attempt),
    SITES, USERS, SECONDS, st.sampled_from([0.0, 0.000_001, 0.5, 33.3]), st.sampled_from([1, 1, 1, 2, 5, 12]),
    st.sampled_from([0, 0, 0, 2]),
)
again = st.tuples(st.just("place_again"), st.integers(0, 30))
taken = st.tuples(st.just("take"), LANES, st.integers(1, 6), st.sampled_from([0.0, 0.6, 3.0]),
                  st.sampled_from([1, 3, 100]))
settled = st.tuples(st.just("settle"), st.integers(0, 30), st.sampled_from([None, 0.0, 0.05, 17.0]))
dropped = st.tuples(st.just("drop"), st.lists(st.integers(0, 30), max_size=4))
adopted = st.tuples(st.just("adopt"), st.integers(0, 30))
site_told = st.tuples(st.just("tell_site"), st.builds(
    SiteFacts, SITES, st.integers(1, 3), st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from([None, None, 1, 2, 5]),
    st.sampled_from([None, None, 0.7, 3.0, 10.0]), st.sampled_from([1, 1, 4]), st.sampled_from([False, False, True]),
))
site_forgotten = st.tuples(st.just("forget_site"), SITES)
user_told = st.tuples(st.just("tell_user"), USERS, st.booleans())
time_passed = st.tuples(st.just("pass_time"), st.sampled_from([0.01, 0.1, 1 / 3, 1.0, 60.0, None]))
released = st.just(("release",))
lanes_paused = st.tuples(st.just("pause_lanes"), st.sets(LANES, max_size=2))
policy_changed = st.tuples(st.just("change_policy"), st.sampled_from(sorted(POLICIES)))
step = st.one_of(placed, placed, placed, taken, taken, taken, settled, settled, dropped, adopted, again, site_told,
                 site_told, site_forgotten, user_told, time_passed, released, lanes_paused, policy_changed)
steps = st.lists(step, min_size=4, max_size=40)


@dataclass
class Twins:
    """The board and its model. Each step is done to both, and they must answer alike."""

    board: Board
    model: Model
    jobs: list[WaitingJob] = field(default_factory=list)
    slices: list[str] = field(default_factory=list)

    def do(self, step: tuple[Any, ...]) -> None:
        name, *args = step
        getattr(self, name)(*args)

    def place(self, site: int, user: int, seconds: float, enqueued_at: float, copies: int, attempt: int) -> None:
        # Ids from 8 on: of equal scores, 9 goes before 10.
        fresh = [
            waiting_job(len(self.jobs) + 8 + i, site=site, user=user, execution_time=seconds, attempt=attempt,
                        enqueued_at=enqueued_at)
            for i in range(copies)
        ]
        self.jobs += fresh
        assert self.board.place(fresh) == self.model.place(fresh)

    def place_again(self, index: int) -> None:
        jobs = self.jobs[index : index + 3]
        assert self.board.place(jobs) == self.model.place(jobs)

    def take(self, band: str, slices: int, budget_s: float, most_jobs: int) -> None:
        got = self.board.take(band, slices, budget_s=budget_s, lease_s=9.0, most_jobs=most_jobs)
        assert got == self.model.take(band, slices, budget_s, most_jobs)
        self.slices += [slice_.id for slice_ in got]

    def settle(self, index: int, used_s: float | None) -> None:
        slice_id = self.slices[index % len(self.slices)] if self.slices else "none"
        assert self.board.settle(slice_id, used_s) == self.model.settle(slice_id, used_s)

    def adopt(self, index: int) -> None:
        free = [job for job in self.jobs[index : index + 1] if not self.model.flies(job.id)]
        for job in free:
            slice_ = Slice(f"lost-{job.id}", job.site, job.band, 0, NOW, (Fence(job.id, 0),))
            assert self.board.adopt(slice_, [job], lease_s=9.0) == self.model.adopt(slice_)
            assert not self.board.adopt(slice_, [job], lease_s=9.0)
            self.slices.append(slice_.id)

    def drop(self, indexes: list[int]) -> None:
        ids = [index + 8 for index in indexes]
        assert self.board.drop(ids) == self.model.drop(dict.fromkeys(ids))

    def tell_site(self, facts: SiteFacts) -> None:
        assert self.board.update_sites([facts]) == self.model.tell_site(facts)

    def forget_site(self, site: int) -> None:
        if not self.model.pending(site) and not self.model.running(site):
            self.board.forget_site(site)
            self.model.forget_site(site)

    def pass_time(self, seconds: float | None) -> None:
        """None: until a rate lets a site go, and it is let go."""
        due = min(self.model.due.values(), default=self.model.now)
        self.board.now = self.model.now = max(self.model.now, due) if seconds is None else self.model.now + seconds
        if seconds is None:
            self.release()

    def release(self) -> None:
        assert self.board.release() == self.model.release() == self.board.view.next_due_s()

    def pause_lanes(self, bands: set[str]) -> None:
        assert self.board.rules.pause_lanes(bands) == self.model.pause_lanes(bands)

    def change_policy(self, policy: str) -> None:
        self.board.rules.change_policy(POLICIES[policy], BANDS, TIERS)
        self.model.change_policy(policy)
        assert self.board.rules.change_policy(POLICIES[policy], BANDS, TIERS) == 0

    def tell_user(self, user: int, active: bool) -> None:
        assert self.board.update_users([(user, active)]) == self.model.tell_user(user, active)

    def compare(self) -> None:
        for band in BANDS:
            ranking = self.board.view.ranking(band.name, 10)
            assert {row.site: row.score for row in ranking} == pytest.approx(self.model.scores(band.name), rel=1e-9)
            assert [row.site for row in ranking] == self.model.order(band.name)
            for row in ranking:
                assert row.boost + row.share + row.age + row.size == pytest.approx(row.score, rel=1e-9)
                assert row.waiting == len(self.model.line(row.site, band.name))
        self.compare_counts()
        self.recount_finds_nothing()

    def compare_counts(self) -> None:
        waiting = [job.band for job in self.model.waiting.values()]
        for band, lane in zip(BANDS, self.board.view.lanes(), strict=True):
            assert lane == Lane(
                band.name, len(self.model.scores(band.name)), waiting.count(band.name), self.model.flying(band.name),
                band.name in self.model.paused, virtual_s=lane.virtual_s, backlog_s=self.model.backlog(band.name),
                held_s=self.model.held_backlog(band.name), load=lane.load)
        for site in (1, 2, 3):
            standing, pending = self.board.view.standing(site), self.model.pending(site)
            assert standing.pending == pending
            assert standing.running == self.model.running(site)
            if pending:
                assert standing.points == self.model.points(site)
            assert standing.hold == self.model.hold(site)
            assert standing.places == {
                band: self.model.order(band).index(site) + 1 for band in pending if not standing.hold}
        assert self.board.upkeep.known([job.id for job in self.jobs]) == set(self.model.waiting).union(
            *(flight.jobs for flight in self.model.flights.values()))

    def recount_finds_nothing(self) -> None:
        assert [self.board.upkeep.recount(site) for site in (1, 2, 3)] == [0, 0, 0]
        assert self.board.upkeep.recount_lanes(most_sites=10) == 0


def compare_after(policy: str, steps: list[Any], redis: Redis) -> None:
    """Take the steps on an empty board and in the model, and compare the two."""
    redis.flushall()
    board = Board(redis, now=NOW)
    twins = Twins(board, Model(policy, board.rules.install(POLICIES[policy], BANDS, TIERS), NOW))
    for step in steps:
        twins.do(step)
    twins.compare()


@pytest.mark.parametrize("policy", sorted(POLICIES))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_the_board_is_where_the_model_is_after_any_steps(policy: str, steps: list[Any], board_redis: Redis) -> None:
    compare_after(policy, steps, board_redis)
