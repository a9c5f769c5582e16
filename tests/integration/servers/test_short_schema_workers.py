"""Real processes on a database that is migrated only after their start."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from jobsched.base.connections import connect
from jobsched.board import PREFIX, Board
from jobsched.config import Settings, load
from jobsched.ledger import schema
from jobsched.ledger.database import ledger_app
from jobsched.ledger.models import db
from jobsched.work import runner
from tests.engine import TASKS, all_completed, draft, engine, people, post
from tests.integration.requests import ON_SQLITE
from tests.servers import running_redis
from tests.support import eventually

SAYS = "the database has not the tables that this version needs: run jobsched migrate"


@ON_SQLITE
def test_all_wait_for_the_migration_without_a_traceback_and_then_work(settings: Settings, tmp_path: Path) -> None:
    import tests.engine_tasks  # noqa: F401

    with running_redis() as server, connect(server.url, patient=False) as redis:
        own = load({"JOBSCHED_HOME": str(tmp_path), "DATABASE_URL": settings.database_url, "REDIS_URL": server.url,
                    "SECRET_KEY": "only-for-tests", "JOBSCHED_TASKS": TASKS})
        with (
            ledger_app(own).app_context(),
            engine(own, tmp_path, ("dispatcher", "scheduler", "worker"), JOBSCHED_WORKERS="1") as running,
        ):
            eventually(lambda: f"was cut off: {SAYS}" in running["worker"].said(), 90)
            eventually(lambda: f"s: {SAYS}" in running["dispatcher"].said(), 90)
            schema.upgrade(own)
            people()
            eventually(lambda: redis.hexists(f"{PREFIX}rules", "built"), 90)
            post(own, Board(redis), draft("echo"))
            eventually(lambda: all_completed(1), 90)
            said = "".join(process.said() for process in running.values())
            db.session.remove()
            db.engine.dispose()
        assert "Traceback" not in said


@ON_SQLITE
def test_a_warm_up_that_fails_is_told_in_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner, "runtime", lambda: SimpleNamespace(app=ledger_app(settings)))
    runner.warm_up()
    assert caplog.messages == [f"no warm start: {SAYS}"]
