"""A database that answers but does not serve (read-only, a standby, sessions killed) counts as unreachable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Timer

import pytest
import sqlalchemy as sql
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis

from jobsched.config import Settings
from jobsched.ledger import moves, schema
from jobsched.ledger.database import patiently, reading, writing
from jobsched.ledger.models import Job
from jobsched.policy import POLICIES
from tests.engine import slice_of
from tests.integration.conftest import MakeClient
from tests.integration.requests import ON_SQLITE, add_site, board_of, created, problem
from tests.servers import PostgresServer, promote, running_standby
from tests.support import eventually, make_job

ON_POSTGRES = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def admin(postgres: PostgresServer, settings: Settings) -> Callable[[str], None]:
    """Runs a statement past the application; ``{name}`` in it is the name of the test's database."""
    name = str(sql.make_url(settings.database_url).database)
    return lambda statement: postgres.administer(statement.format(name=name))


READ_ONLY = 'ALTER DATABASE "{name}" SET default_transaction_read_only = on'
WRITABLE = 'ALTER DATABASE "{name}" RESET default_transaction_read_only'
KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"


def ready(client: FlaskClient) -> tuple[bool, str]:
    """Whether readyz calls the database ready, and what it says of it."""
    response = client.get("/readyz")
    check = response.json["checks"]["database"]
    if not check["ok"]:
        assert response.status_code == 503
    return check["ok"], check["detail"]


@ON_POSTGRES
def test_a_read_only_database_is_away_and_comes_back(client: FlaskClient, admin: Callable[[str], None]) -> None:
    site = add_site(client)
    admin(READ_ONLY)
    admin(KILL)
    eventually(lambda: client.get("/sites").status_code == 200)
    for method, path, sent in (("POST", "/sites", {"name": "b"}), ("PATCH", f"/sites/{site}", {"name": "b"}),
                               ("DELETE", f"/sites/{site}", None)):
        response = client.open(path, method=method, json=sent)
        assert "read-only" in problem(response, 503)["detail"]
        assert int(response.headers["Retry-After"]) > 0
    assert ready(client) == (
        False, "the database is read-only: it takes no writes, as a standby does after a fail-over")
    assert [one["name"] for one in client.get("/sites").json] == ["Acme"]
    admin(WRITABLE)
    ready(client)  # it may meet a session that began read-only, and has it dropped
    assert ready(client)[0]
    created(client.post("/sites", json={"name": "b"}))


@ON_POSTGRES
def test_a_session_that_began_read_only_is_used_for_one_refused_write_at_most(
    client: FlaskClient, admin: Callable[[str], None]
) -> None:
    admin(READ_ONLY)
    admin(KILL)
    eventually(lambda: client.get("/sites").status_code == 200)
    admin(WRITABLE)
    answers = [client.post("/sites", json={"name": "b"}).status_code for _ in range(4)]
    assert answers in ([503, 201, 201, 201], [201] * 4)


@ON_POSTGRES
@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout"])
def test_a_limit_that_a_session_began_with_is_met_once_after_it_was_lifted(
    client: FlaskClient, admin: Callable[[str], None], setting: str
) -> None:
    site = add_site(client)
    admin(f'ALTER DATABASE "{{name}}" SET {setting} = 300')
    admin(KILL)
    eventually(lambda: client.get("/sites").status_code == 200)  # this session keeps the limit
    admin(f'ALTER DATABASE "{{name}}" RESET {setting}')
    answers = [patch_while_locked(client, site, held_s=1.0) for _ in range(3)]
    assert answers in ([503, 200, 200], [200] * 3)


def patch_while_locked(client: FlaskClient, site: int, *, held_s: float) -> int:
    """The answer to a change of a site whose row another transaction holds for so long."""
    url = client.application.config["SQLALCHEMY_DATABASE_URI"]
    other = sql.create_engine(url, poolclass=sql.NullPool)
    with other.connect() as connection:
        connection.execute(sql.text("SELECT 1 FROM sites WHERE id = :id FOR UPDATE"), {"id": site})
        timer = Timer(held_s, connection.rollback)
        timer.start()
        try:
            return client.patch(f"/sites/{site}", json={"name": "b"}).status_code
        finally:
            timer.join()


@pytest.fixture
def settings_of_standby(tmp_path: Path, settings: Settings) -> Iterator[tuple[Settings, PostgresServer]]:
    """Settings that lead to a standby of a cluster with an empty ledger."""
    def prepare(primary: PostgresServer) -> None:
        schema.upgrade(replace(settings, database_url=primary.url("postgres")))

    with running_standby(prepare) as standby:
        yield replace(settings, database_url=standby.url("postgres")), standby


@ON_SQLITE
def test_a_standby_is_away_until_it_is_promoted(
    make_client: MakeClient, settings_of_standby: tuple[Settings, PostgresServer], redis: Redis
) -> None:
    settings, standby = settings_of_standby
    client = make_client(settings)
    board_of(client).rules.install(POLICIES[settings.policy], settings.bands, settings.tiers)
    assert client.get("/sites").json == []
    problem(client.post("/sites", json={"name": "a"}), 503)
    assert not ready(client)[0]
    promote(standby)
    eventually(lambda: ready(client)[0])
    created(client.post("/sites", json={"name": "a"}))


@ON_POSTGRES
def test_killed_sessions_cost_a_client_nothing(client: FlaskClient, admin: Callable[[str], None]) -> None:
    created(client.post("/sites", json={"name": "a"}))
    admin(KILL)
    created(client.post("/sites", json={"name": "b"}))


@ON_POSTGRES
@pytest.mark.parametrize("spell", ["read-only", "no connection to spare"])
def test_a_fence_outlives_a_spell_and_is_recorded_once(
    ledger: Flask, admin: Callable[[str], None], spell: str, caplog: pytest.LogCaptureFixture
) -> None:
    id_ = make_job().id
    begin, end = {
        "read-only": (READ_ONLY, WRITABLE),
        "no connection to spare": ('ALTER DATABASE "{name}" ALLOW_CONNECTIONS false',
                                   'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'),
    }[spell]
    admin(begin)
    admin(KILL)
    tries = 0

    def start() -> list[int]:
        nonlocal tries
        tries += 1
        if tries == 3:  # the third meets a database that is itself again
            admin(end)
        with writing() as session:
            return [job.id for job in moves.start(session, slice_of([id_]))]

    assert patiently(start) == [id_]
    assert tries >= 3
    with reading() as session:
        assert session.scalar(sql.select(Job.attempt).where(Job.id == id_)) == 1
    assert "the database" in caplog.text


def test_an_error_that_time_does_not_mend_is_not_waited_for(ledger: Flask) -> None:
    tries: list[int] = []

    def write() -> None:
        tries.append(1)
        with writing() as session:
            session.execute(sql.text("SELEC"))

    with pytest.raises(sql.exc.DBAPIError):
        patiently(write)
    assert len(tries) == 1


@ON_POSTGRES
def test_a_value_that_the_database_refuses_is_not_waited_for(ledger: Flask) -> None:
    def write() -> None:
        with writing() as session:
            session.execute(sql.text("SELECT CAST(:n AS INTEGER)"), {"n": 2**70})

    with pytest.raises(sql.exc.DataError):
        patiently(write)


@pytest.mark.parametrize(("state", "status"), [
    ("25006", 503), ("53100", 503), ("53300", 503), ("40001", 503), ("57014", 503), ("55P03", 503), ("42P01", 503),
    ("22003", 422), ("XX000", 500),
])
@ON_POSTGRES
def test_each_kind_of_error_has_its_answer(client: FlaskClient, state: str, status: int) -> None:
    with client.application.app_context(), writing() as session:
        session.execute(sql.text(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION 'what nobody is told' USING ERRCODE = '{state}'; END $$"))
        session.execute(sql.text("CREATE TRIGGER fail BEFORE INSERT ON sites FOR EACH ROW EXECUTE FUNCTION fail()"))
    response = client.post("/sites", json={"name": "a"})
    found = problem(response, status)
    assert ("Retry-After" in response.headers) == (status == 503)
    assert "nobody is told" not in response.text
    assert ("the database" in found["detail"]) == (status != 500)


@ON_SQLITE
def test_a_sqlite_file_that_can_not_be_written_is_not_ready(
    make_client: MakeClient, settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    schema.upgrade(settings)
    read_only = make_client(replace(settings, database_url=f"sqlite:///file:{tmp_path}/jobsched.db?mode=ro&uri=true"))
    problem(read_only.post("/sites", json={"name": "a"}), 503)
    assert ready(read_only) == (False, "the database is read-only: its file or folder can not be written")
    assert read_only.get("/sites").json == []
    assert ready(make_client(settings))[0]
