"""The tables of the ledger. SQL is the authority: everything in Redis can be rebuilt from these rows."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, ClassVar

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    String,
    Text,
    func,
    orm,
    select,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.types import TypeDecorator

from jobsched.domain import SiteFacts, Status


class Utc(TypeDecorator[datetime]):
    """An aware UTC datetime, also in SQLite, which stores no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        value = value.astimezone(timezone.utc)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


class JsonText(TypeDecorator[Any]):
    """JSON in a text column; None is NULL. Raises ValueError for NaN and infinities.

    For SQLite, where a column of type JSON would convert numbers: 12345678901234567890 to 1.2345678901234567e19, 1.0 to
    1, and a number too large for it to Infinity. https://www.sqlite.org/datatype3.html#determination_of_column_affinity
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value, allow_nan=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


class StatusText(TypeDecorator[Status]):
    """A Status, stored as its word. Raises ValueError for any other word."""

    impl = String(12)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else Status(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> Status | None:
        return None if value is None else Status(value)


#: The column type of a JSON value, which comes back unchanged; None is NULL.
Json = JSON(none_as_null=True).with_variant(JsonText(), "sqlite")


class Base(DeclarativeBase):
    # The map is an argument of the registry, because Flask-SQLAlchemy copies this class, and SQLAlchemy would refuse a
    # copy that has both a registry and a type_annotation_map.
    registry = orm.registry(type_annotation_map={
        datetime: Utc, dict[str, Any]: Json, Status: StatusText,
        float: Double(),  # the default of SQLAlchemy 2.1, but not of 2.0
    })


db = SQLAlchemy(model_class=Base)

#: SQLite assigns ids by itself only to a key of type INTEGER.
Id = BigInteger().with_variant(db.Integer(), "sqlite")
#: By default, SQLite gives the id of a deleted last row to the next row. A late worker of the deleted job could then
#: record its outcome as the new job's.
FRESH_IDS = {"sqlite_autoincrement": True}


def utcnow() -> datetime:
    return datetime.now(timezone.utc)


def shared_now(session: Session) -> datetime:
    """The time by the database's clock, which all hosts share. With SQLite it is this host's clock."""
    if session.get_bind().dialect.name != "postgresql":
        return utcnow()
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(timezone.utc)


class Site(db.Model):  # type: ignore[name-defined,misc]
    """A customer. ``record_capacity``: 1 low (500-10k records), 2 medium (10k-50k), 3 high (50k-200k).

    ``weight`` to ``paused`` say how much the site gets, as in :class:`jobsched.domain.SiteFacts`. ``max_pending``
    bounds its waiting jobs; None is no bound.
    """

    __tablename__ = "sites"
    __table_args__ = FRESH_IDS
    noun: ClassVar[str] = "site"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    domain: Mapped[str] = mapped_column(String(253), default="")
    url: Mapped[str] = mapped_column(String(2000), default="")
    description: Mapped[str] = mapped_column(Text, default="")
    record_capacity: Mapped[int] = mapped_column(default=1)
    weight: Mapped[float] = mapped_column(default=1.0)
    max_running: Mapped[int | None] = mapped_column(default=None)
    rate_per_s: Mapped[float | None] = mapped_column(default=None)
    burst: Mapped[int] = mapped_column(default=1)
    max_pending: Mapped[int | None] = mapped_column(default=None)
    paused: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    @property
    def facts(self) -> SiteFacts:
        """What the board knows of the site."""
        return SiteFacts(*(getattr(self, column.key) for column in SITE_FACTS))


#: The columns of a site that the board gets, in the order of :class:`jobsched.domain.SiteFacts`.
SITE_FACTS = (Site.id, Site.record_capacity, Site.weight, Site.max_running, Site.rate_per_s, Site.burst, Site.paused)


class UserRecord(db.Model):  # type: ignore[name-defined,misc]
    """A user of a site, who submits jobs. An inactive user does not count in points."""

    __tablename__ = "user_records"
    __table_args__ = FRESH_IDS
    noun: ClassVar[str] = "user record"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    email: Mapped[str] = mapped_column(String(254), default="")
    phone: Mapped[str] = mapped_column(String(40), default="")
    address: Mapped[str] = mapped_column(String(500), default="")
    country: Mapped[str] = mapped_column(String(100), default="")
    state: Mapped[str] = mapped_column(String(100), default="")
    city: Mapped[str] = mapped_column(String(100), default="")
    pincode: Mapped[str] = mapped_column(String(20), default="")
    dob: Mapped[str | None] = mapped_column(String(10), default=None)
    is_active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Job(db.Model):  # type: ignore[name-defined,misc]
    """One piece of work. ``attempt`` counts its starts, and fences out late workers.

    ``enqueued_at`` is when it last became pending; its wait counts from then. ``slice`` and ``points`` are those of its
    last dispatch. ``run_time`` is the measured time of its last start, in seconds. ``estimated``: its execution time
    comes from history, not from the client. ``overruns`` counts how often it was stopped at the bound of its band and
    moved to the next band.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_status_band", "status", "band", "enqueued_at"),
        Index("ix_jobs_site_status", "site_id", "status", "id"),
        Index("ix_jobs_user_status", "user_id", "status", "id"),
        Index("ix_jobs_pending", "id", sqlite_where=text("status = 'pending'"),
              postgresql_where=text("status = 'pending'")),
        Index("ix_jobs_due", "run_at", sqlite_where=text("status = 'scheduled'"),
              postgresql_where=text("status = 'scheduled'")),
        # In these two, the status is the same in all rows. It is there for SQLite, which chooses the index with most
        # matching columns: without it, a history would be read by ix_jobs_site_status, past the jobs of other tasks.
        Index("ix_jobs_history_site", "task", "site_id", "status", "id", sqlite_where=text("status = 'completed'"),
              postgresql_where=text("status = 'completed'")),
        Index("ix_jobs_history_task", "task", "status", "id", sqlite_where=text("status = 'completed'"),
              postgresql_where=text("status = 'completed'")),
        FRESH_IDS,
    )
    noun: ClassVar[str] = "job"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_records.id"))
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.id"))
    task: Mapped[str] = mapped_column(String(100), default="sleep")
    payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    execution_time: Mapped[float]
    estimated: Mapped[bool] = mapped_column(default=False)
    overruns: Mapped[int] = mapped_column(default=0)
    band: Mapped[str] = mapped_column(String(20))
    status: Mapped[Status] = mapped_column(default=Status.PENDING)
    attempt: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int]
    run_at: Mapped[datetime | None] = mapped_column(default=None)
    submitted_at: Mapped[datetime] = mapped_column(default=utcnow)
    enqueued_at: Mapped[datetime] = mapped_column(default=utcnow)
    dispatched_at: Mapped[datetime | None] = mapped_column(default=None)
    started_at: Mapped[datetime | None] = mapped_column(default=None)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)
    slice: Mapped[str | None] = mapped_column(String(40), default=None)
    points: Mapped[int | None] = mapped_column(default=None)
    run_time: Mapped[float | None] = mapped_column(default=None)
    result: Mapped[Any] = mapped_column(Json, default=None, nullable=True)
    error: Mapped[str | None] = mapped_column(Text, default=None)


class IdempotencyKey(db.Model):  # type: ignore[name-defined,misc]
    """The first answer to a POST with an ``Idempotency-Key``. A repeated POST gets the same answer."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    status_code: Mapped[int]
    body: Mapped[str] = mapped_column(Text)
    location: Mapped[str | None] = mapped_column(Text, default=None)
    created_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)


class Control(db.Model):  # type: ignore[name-defined,misc]
    """A value that an operator has set at run time; see :mod:`jobsched.intake.controls`."""

    __tablename__ = "controls"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[str] = mapped_column(String(200))
