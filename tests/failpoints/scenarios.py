"""One scenario for each failpoint: it runs the system up to the failpoint, and returns when it has fired."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from jobsched.board import OLDER, PREFIX
from jobsched.domain import Bands, tiers_of
from jobsched.intake import controls, submit
from jobsched.intake.drafts import JobDraft
from jobsched.ledger import moves
from jobsched.ledger.database import writing
from jobsched.ledger.models import Job, Site, UserRecord, utcnow
from jobsched.policy import POLICIES
from jobsched.queues import lanes
from tests.failpoints.system import System
from tests.support import eventually, unheard

Play = Callable[[System], None]


@dataclass(frozen=True)
class Scenario:
    """A way to some failpoints."""

    name: str
    play: Play
    failpoints: tuple[str, ...]


SCENARIOS: list[Scenario] = []


def comes_to(*failpoints: str) -> Callable[[Play], Play]:
    """The decorated scenario comes to these failpoints."""

    def add(play: Play) -> Play:
        SCENARIOS.append(Scenario(play.__name__, play, failpoints))
        return play

    return add


# Clients of the web


@comes_to("submit.inserted", "submit.committed", "submit.wake_asked", "submit.placed")
def create(system: System) -> None:
    soon = (utcnow() + timedelta(seconds=0.3)).isoformat()
    wish = {"user": 1, "site": 2, "execution_time": 0.001, "task": "noted"}
    made = system.ask("POST", "/jobs", [wish, {**wish, "site": 1, "execution_time": 0.5}, {**wish, "run_at": soon}])
    assert {job["id"] for job in made} == set(system.statuses()), "acknowledged is what there is, and nothing besides"


@comes_to("submit.withdrawn", "submit.dropped")
def cancel(system: System) -> None:
    job, _ = _post(system, 2)
    system.ends[job] = "cancelled"
    system.ask("POST", f"/jobs/{job}/cancel")


@comes_to("submit.withdrawn", "submit.dropped", "submit.committed", "submit.placed")
def retry(system: System) -> None:
    job, _ = _post(system, 2)
    with writing() as session:
        submit.cancel(session, system.board, job)
    system.ask("POST", f"/jobs/{job}/retry")


@comes_to("submit.taken_aside", "submit.withdrawn", "submit.dropped", "submit.committed", "submit.placed")
def change(system: System) -> None:
    job, _ = _post(system, 2)
    changed = system.ask("PATCH", f"/jobs/{job}", {"execution_time": 0.05, "site": 2})
    assert (changed["task_type"], changed["site"]) == ("task_03", 2)


@comes_to("submit.taken_aside")
def delete(system: System) -> None:
    job, _ = _post(system, 2)
    system.ends[job] = None
    system.ask("DELETE", f"/jobs/{job}")


@comes_to("web.sites_committed", "web.sites_told")
def create_site(system: System) -> None:
    site = system.ask("POST", "/sites", {"name": "new", "record_capacity": 3})
    _post(system, 1, site=site["id"])


@comes_to("web.portion_deleted", "web.site_deleted", "web.site_forgotten")
def delete_site(system: System) -> None:
    with writing() as session:
        session.add(Site(id=3, name="old"))
    system.ask("DELETE", "/sites/3")
    _post(system, 1)


@comes_to("web.sites_committed", "web.sites_told")
def pause_site(system: System) -> None:
    _post(system, 2)
    system.ask("PATCH", "/sites/1", {"paused": True, "max_running": 1})
    with writing() as session:
        session.execute(update(Site).where(Site.id == 1).values(paused=False))


@comes_to("controls.committed", "controls.lanes_told")
def pause_lane(system: System) -> None:
    _post(system, 2)
    assert system.ask("POST", "/lanes/task_01/pause")["paused"]
    with writing() as session:
        controls.pause_lane(session, "task_01", paused=False)


@comes_to("controls.committed", "controls.lanes_told", "rescore.begun", "rescore.lines_scored", "rescore.lanes_scored",
          "rescore.done")
def choose_policy(system: System) -> None:
    _post(system, 2)
    _post(system, 1, site=2, execution_time=0.5)
    assert system.ask("PUT", "/policy", {"policy": "shortest"})["policy"] == "shortest"


@comes_to("web.users_committed", "web.users_told")
def change_user(system: System) -> None:
    _post(system, 2)
    system.ask("PATCH", "/user-records/1", {"is_active": False})


# Dispatcher and worker


@comes_to("dispatch.released")
def let_a_site_go(system: System) -> None:
    """It is held by its rate, and due."""
    with writing() as session:
        session.execute(update(Site).where(Site.id == 1).values(rate_per_s=20.0, max_running=2))
    system.sweeper().facts.changed()
    _post(system, 3)
    system.dispatch()
    eventually(lambda: system.board.view.next_due_s() == 0.0, every_s=0.005)
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("dispatch.taken", "dispatch.enqueued")
def dispatch(system: System) -> None:
    _post(system, 3)
    _post(system, 1, site=2, execution_time=0.5)
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("run.popped", "run.started", "run.renewed", "run.performed", "run.committed", "run.recorded", "run.settled",
          "run.retries_asked")
def run(system: System) -> None:
    _post(system, 2)
    refused, _ = *_post(system, 1, task="refused"), *_post(system, 1, task="refused_once")
    system.ends[refused] = "failed"
    system.dispatch()
    system.worker(armed=True)
    _wait_until_fired(system)


@comes_to("run.performed", "run.committed", "run.recorded", "run.settled", "run.demoted_placed")
def overrun(system: System) -> None:
    _post(system, 1)
    _post(system, 1, task="outlasting")
    system.dispatch()
    system.worker(armed=True)
    _wait_until_fired(system)


@comes_to("run.broken_off", "run.performed", "run.recorded", "run.settled", "run.demoted_placed")
def killed(system: System) -> None:
    _post(system, 1)
    _post(system, 1, task="killed")
    _post(system, 1)
    system.dispatch()
    system.worker(armed=True)
    _wait_until_fired(system)


@comes_to("run.set_aside")
def pop_what_the_worker_does_not_know(system: System) -> None:
    _post(system, 2)
    _post(system, 2, task="newer")
    system.dispatch()
    system.worker(armed=True, lacks="newer")
    _wait_until_fired(system)


@comes_to("dispatch.handed_on", "dispatch.handed_on_enqueued")
def hand_on_what_a_worker_did_not_know(system: System) -> None:
    newer = _post(system, 2, task="newer")
    (slice_,) = system.board.take("task_01", 1, budget_s=0.1, lease_s=60.0)
    system.board.set_aside(slice_.id, dict.fromkeys(newer, "newer"))
    system.board.settle(slice_.id, 0.0)
    system.worker()
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("run.adopted")
def flush_while_it_runs(system: System) -> None:
    here, until = system.directory / "here", system.directory / "until"
    _post(system, 1, execution_time=10.0, task="held", here=str(here), until=str(until))
    system.dispatch()
    _post(system, 1, site=2)
    system.worker(armed=True)
    eventually(here.exists, every_s=0.005)
    system.redis.flushall()
    system.sweeper().builder.lost()
    _wait_until_fired(system)
    until.touch()


@comes_to("wake.woken", "wake.placed")
def wake(system: System) -> None:
    _due(system)
    lanes.queue(system.redis, lanes.WAKE_QUEUE).enqueue(lanes.WAKE)
    system.worker(armed=True)
    _wait_until_fired(system)


@comes_to("wake.woken", "wake.placed")
def wake_by_sweep(system: System) -> None:
    _due(system)
    system.dispatcher(armed=True)
    _wait_until_fired(system)


# The sweep


@comes_to("repair.bands_assigned", "repair.installed", "repair.all_sites_told", "repair.inactive_users_told",
          "repair.portion_placed", "repair.built")
def lose_the_board(system: System) -> None:
    _post(system, 2)
    _post(system, 1, site=2, execution_time=0.5)
    system.redis.flushall()
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("repair.wiped", "repair.bands_assigned", "repair.installed", "repair.all_sites_told",
          "repair.inactive_users_told", "repair.portion_placed", "repair.built")
def change_the_rules(system: System) -> None:
    system.board.wipe()
    system.board.rules.install(POLICIES["fifo"], Bands.of([0.01, 60]), tiers_of([3, 7]))
    with writing() as session:
        jobs = submit.insert_jobs(session, system.board, {"": JobDraft(1, 1, 0.02, "noted")}, system.settings)
        jobs[0].band = "task_02"
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("repair.brought_back")
def put_the_clock_back(system: System) -> None:
    """A slice was taken, and the board made, an hour from now."""
    _post(system, 2)
    system.board.take("task_01", 1, budget_s=0.1, lease_s=3600.0)
    system.redis.hset(f"{PREFIX}rules", "made_at", repr(time.time() + 3600))
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("repair.broken_wiped", "repair.bands_assigned", "repair.installed", "repair.all_sites_told",
          "repair.inactive_users_told", "repair.portion_placed", "repair.built")
def spoil_the_board(system: System) -> None:
    """One value that no board has written, in what every dispatch reads."""
    _post(system, 2)
    _post(system, 1, site=2, execution_time=0.5)
    system.redis.hset(f"{PREFIX}lanes", "v:task_01", "abc")
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("repair.strays_dropped")
def leave_a_stray(system: System) -> None:
    _post(system, 1)
    system.redis.zadd(f"{PREFIX}points", {"999": 5.0})
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("repair.older_dropped")
def leave_an_older_board(system: System) -> None:
    """An older version ended, and what it had on its board is pending in SQL."""
    _post(system, 1)
    system.redis.hset(f"{OLDER[0]}rules", "policy", "fair")
    system.redis.zadd(f"{OLDER[0]}alive:dispatcher", {"an older one": time.time() - 60.0})
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("repair.lease_given_back", "repair.lease_settled", "repair.lease_placed", "repair.lease_forgotten")
def let_leases_run_out(system: System) -> None:
    """One slice was never started, one was, one has no attempt left."""
    _post(system, 2)
    _post(system, 2, site=2)
    last, = _post(system, 1, execution_time=0.5)
    with writing() as session:
        session.execute(update(Job).where(Job.id == last).values(max_attempts=1))
    system.ends[last] = "failed"
    slices = [system.board.take(band, 2, budget_s=0.1, lease_s=0.001) for band in ("task_01", "task_04")]
    for slice_ in (slices[0][0], slices[1][0]):
        with writing() as session:
            assert moves.start(session, slice_)
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("repair.queued_lease_renewed")
def let_the_lease_run_out_in_the_queue(system: System) -> None:
    _post(system, 1)
    band = system.settings.bands[0]
    lanes.enqueue(system.redis, band, system.board.take(band.name, 1, budget_s=0.1, lease_s=0.001))
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("repair.orphans_given_back", "repair.orphans_placed")
def leave_orphans(system: System) -> None:
    """Jobs run, says SQL, and no slice carries them; one of them has no attempt left."""
    _, last = _insert(system, 2)
    long_ago = utcnow() - timedelta(seconds=60)
    with writing() as session:
        session.execute(update(Job).values(status="running", attempt=1, started_at=long_ago, slice="lost"))
        session.execute(update(Job).where(Job.id == last).values(max_attempts=1))
    system.ends[last] = "failed"
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("repair.missing_placed")
def keep_jobs_from_the_board(system: System) -> None:
    _insert(system, 3)
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("repair.stale_dropped")
def cancel_behind_the_boards_back(system: System) -> None:
    job, _ = _post(system, 2)
    with unheard() as session:
        submit.cancel(session, system.board, job)
    system.ends[job] = "cancelled"
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("repair.changed_placed", "repair.stale_dropped")
def change_behind_the_boards_back(system: System) -> None:
    job, _ = _post(system, 2)
    with writing() as session:
        session.execute(update(Job).where(Job.id == job).values(band="task_03", execution_time=0.05))
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("repair.sites_told", "repair.users_told")
def change_facts_behind_the_boards_back(system: System) -> None:
    _post(system, 2)
    with writing() as session:
        session.execute(update(UserRecord).where(UserRecord.id == 1).values(is_active=False))
    system.dispatcher(armed=True)
    _wait_until_fired(system)


@comes_to("controls.lanes_told", "rescore.begun", "rescore.lines_scored", "rescore.lanes_scored", "rescore.done",
          "repair.controls_told")
def set_controls_behind_the_boards_back(system: System) -> None:
    _post(system, 3)
    with writing() as session:
        controls.choose_policy(session, "shortest")
        controls.pause_lane(session, "task_01", paused=True)
    system.dispatcher(armed=True)
    _wait_until_fired(system)
    with writing() as session:
        controls.pause_lane(session, "task_01", paused=False)


@comes_to("repair.recounted", "repair.lanes_recounted")
def miscount(system: System) -> None:
    _post(system, 2)
    system.redis.hincrby(f"{PREFIX}lanes", "waiting:task_01", 5)
    system.redis.hincrby(f"{PREFIX}site:1", "running", 5)
    system.redis.hincrby(f"{PREFIX}site:2", "tiers", 5)
    system.dispatcher(armed=True)
    _wait_until_fired(system)


def _wait_until_fired(system: System) -> None:
    eventually(lambda: system.fired, every_s=0.005)


def _insert(system: System, count: int, **payload: Any) -> list[int]:
    with unheard() as session:
        return _rows(session, system, count, **payload)


def _post(system: System, count: int, **wish: Any) -> list[int]:
    with writing() as session:
        return _rows(session, system, count, **wish)


def _rows(session: Session, system: System, count: int, *, site: int = 1, execution_time: float = 0.001,
          task: str = "noted", **payload: Any) -> list[int]:
    drafts = {f"/{i}": JobDraft(1, site, execution_time, task, payload) for i in range(count)}
    return [job.id for job in submit.insert_jobs(session, system.board, drafts, system.settings)]


def _due(system: System) -> None:
    jobs = _insert(system, 2)
    with writing() as session:
        session.execute(
            update(Job).where(Job.id.in_(jobs)).values(status="scheduled", run_at=utcnow() - timedelta(seconds=1))
        )
