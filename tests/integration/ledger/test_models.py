"""The ledger's tables and transactions, on SQLite and PostgreSQL."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, select, text, update
from sqlalchemy.exc import IntegrityError, StatementError

from jobsched.config import Settings
from jobsched.ledger.database import fault, ledger_app, reading, writing
from jobsched.ledger.models import IdempotencyKey, Job, Site, UserRecord, db, utcnow
from tests.support import eventually, make_job, make_site, make_user

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

WRITERS, WRITES = 4, 25


def read(model: type[Any], id_: int) -> Any:
    with reading() as session:
        return session.get(model, id_)


# Columns


@pytest.mark.parametrize("moment", [
    datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=timezone.utc),
    datetime(2024, 6, 30, 1, 0, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    datetime(1970, 1, 1, tzinfo=timezone(timedelta(hours=-11))),
])
def test_a_moment_comes_back_as_it_was_and_in_utc(moment: datetime, ledger: Flask) -> None:
    kept = read(Job, make_job(run_at=moment).id).run_at
    assert kept == moment
    assert kept.utcoffset() == timedelta(0)


def test_moments_of_different_zones_are_compared_as_moments(ledger: Flask) -> None:
    noon = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
    job = make_job(run_at=noon.astimezone(timezone(timedelta(hours=9))))
    just_before = (noon - timedelta(microseconds=1)).astimezone(timezone(timedelta(hours=-8)))
    with reading() as session:
        assert session.scalar(select(Job.id).where(Job.run_at > just_before, Job.run_at <= noon)) == job.id


PAYLOADS: list[dict[str, Any]] = [
    {},
    {"to": "zoë@example.org", "n": [1, 2.5, None, True, {"deep": {"er": []}}]},
    {"": "☃ \u2028 '\"\\", "big": 2**53},
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_comes_back_as_it_was(payload: dict[str, Any], ledger: Flask) -> None:
    assert read(Job, make_job(payload=payload).id).payload == payload


@pytest.mark.parametrize("result", [{"rows": 3}, [1, "two"], "text", 0, False, 1.5])
def test_a_result_may_be_any_json_value(result: Any, ledger: Flask) -> None:
    kept = read(Job, make_job(result=result).id).result
    assert (kept, type(kept)) == (result, type(result))


def test_no_result_is_null_in_sql(ledger: Flask) -> None:
    job = make_job(result=None)
    with reading() as session:
        assert session.scalar(select(Job.id).where(Job.result.is_(None))) == job.id
        assert session.scalar(text("SELECT count(*) FROM jobs WHERE result IS NULL")) == 1


@pytest.mark.parametrize("seconds", [1e-9, 0.001, 0.1 + 0.2, 9.8887, 9.999_999_999_999_998])
def test_an_execution_time_comes_back_to_the_last_bit(seconds: float, ledger: Flask) -> None:
    assert read(Job, make_job(execution_time=seconds).id).execution_time == seconds


def test_a_row_begins_with_what_nobody_said(ledger: Flask) -> None:
    before = utcnow()
    job, site = make_job(), make_site()
    assert (job.status, job.task, job.attempt, job.payload) == ("pending", "sleep", 0, {})
    assert before <= job.submitted_at <= utcnow()
    assert before <= job.enqueued_at <= utcnow()
    assert (site.record_capacity, site.domain, site.url, site.description) == (1, "", "", "")
    assert make_user().is_active


# Keys


def test_ids_ascend_from_one(ledger: Flask) -> None:
    assert [make_site().id for _ in range(3)] == [1, 2, 3]


def test_rows_of_one_transaction_are_numbered_in_their_order(ledger: Flask) -> None:
    with writing() as session:
        sites = [Site(name=f"site {n}") for n in range(50)]
        session.add_all(sites)
    assert [site.id for site in sites] == list(range(1, 51))


def test_the_id_of_a_deleted_row_is_not_given_again(ledger: Flask) -> None:
    last = make_job()
    with writing() as session:
        session.delete(last)
    assert make_job(UserRecord(id=last.user_id, site_id=last.site_id)).id > last.id


@pytest.mark.parametrize("missing", ["user_id", "site_id"])
def test_a_job_needs_its_user_and_its_site(missing: str, ledger: Flask) -> None:
    user = make_user()
    ids = {"user_id": user.id, "site_id": user.site_id, missing: 999}
    with pytest.raises(IntegrityError):
        make_job(user, **ids)


def test_a_user_needs_his_site(ledger: Flask) -> None:
    with pytest.raises(IntegrityError):
        make_user(site_id=999)


def test_a_site_with_users_can_not_be_deleted_under_them(ledger: Flask) -> None:
    site = make_site()
    make_user(site)
    with pytest.raises(IntegrityError), writing() as session:
        session.delete(site)


def test_an_idempotency_key_is_kept_once(ledger: Flask) -> None:
    def keep() -> None:
        with writing() as session:
            session.add(IdempotencyKey(key="k", fingerprint="f", status_code=201, body="{}"))

    keep()
    with pytest.raises(IntegrityError):
        keep()


# Transactions


def test_writing_commits_at_the_end_of_the_block(ledger: Flask) -> None:
    with writing() as session:
        session.add(Site(name="kept"))
    with reading() as session:
        assert session.scalars(select(Site.name)).all() == ["kept"]


def test_writing_rolls_back_when_the_block_raises(ledger: Flask) -> None:
    site = make_site(name="before")
    with pytest.raises(LookupError), writing() as session:  # noqa: PT012
        session.execute(update(Site).values(name="after"))
        session.add(Site(name="new"))
        session.flush()
        raise LookupError
    with reading() as session:
        assert session.execute(select(Site.id, Site.name)).all() == [(site.id, "before")]


def test_writing_rolls_all_back_when_one_row_is_refused(ledger: Flask) -> None:
    with pytest.raises(IntegrityError), writing() as session:
        session.add_all([Site(name="fine"), UserRecord(site_id=999, name="not")])
    with reading() as session:
        assert session.scalars(select(Site.name)).all() == []


def test_rows_outlive_their_transaction(ledger: Flask) -> None:
    site = make_site(name="Acme")
    assert (site.id, site.name, site.record_capacity) == (1, "Acme", 1)


def test_a_ledger_that_takes_writes_has_no_fault(ledger: Flask) -> None:
    assert fault() is None


def test_threads_that_read_before_they_write_do_not_lose_a_write(ledger: Flask) -> None:
    user = make_user()
    barrier = Barrier(WRITERS)

    def bump(_: int) -> None:
        with ledger.app_context():
            barrier.wait(30)
            for _write in range(WRITES):
                _bump(user.id)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(bump, range(WRITERS)))
    assert read(UserRecord, user.id).name == str(WRITERS * WRITES)


def test_processes_that_read_before_they_write_do_not_lose_a_write(ledger: Flask, settings: Settings) -> None:
    user = make_user()
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_bump_often, args=(settings, user.id)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert read(UserRecord, user.id).name == str(2 * WRITES)


def _bump(user_id: int) -> None:
    """Read, then write what was read and one more: what fails on SQLite when a transaction begins as a reader."""
    with writing() as session:
        query = select(UserRecord).where(UserRecord.id == user_id).with_for_update()
        user = session.scalars(query).one()
        user.name = str(int(user.name) + 1 if user.name.isdigit() else 1)


def _bump_often(settings: Settings, user_id: int) -> None:
    with ledger_app(settings).app_context():
        for _ in range(WRITES):
            _bump(user_id)


@only_sqlite
def test_a_writer_takes_the_lock_when_it_begins_and_a_reader_none(ledger: Flask) -> None:
    begun: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *args: begun.append(args[2]))
    with writing() as session:
        session.scalar(select(Site.id))
    with reading() as session:
        session.scalar(select(Site.id))
    assert [statement for statement in begun if statement.startswith("BEGIN")] == ["BEGIN IMMEDIATE", "BEGIN"]


@only_sqlite
def test_readers_go_on_while_somebody_writes(ledger: Flask) -> None:
    make_site(name="before")
    with writing() as session:
        session.execute(update(Site).values(name="after"))
        with reading() as other:
            assert other.scalars(select(Site.name)).all() == ["before"]


@only_sqlite
def test_sqlite_writes_ahead_and_minds_foreign_keys(ledger: Flask) -> None:
    with reading() as session:
        modes = [session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "foreign_keys", "synchronous")]
    assert modes == ["wal", 1, 1]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_uses_connections_of_its_own(ledger: Flask) -> None:
    make_site(name="parent")
    child = multiprocessing.get_context("fork").Process(target=_write_in_child, args=(ledger,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    with reading() as session:
        assert eventually(lambda: session.scalars(select(Site.name).order_by(Site.id)).all()) == ["parent", "child"]


def _write_in_child(app: Flask) -> None:
    with app.app_context():
        make_site(name="child")
        db.engine.dispose()


def test_text_that_no_database_takes_is_refused_whole(ledger: Flask) -> None:
    with pytest.raises((StatementError, UnicodeEncodeError)):
        make_site(name="\ud800")
    assert make_site().id == 1
