"""The ledger: sites, their user records, jobs, and the answers kept for repeated requests.

Revision: 0001, the first
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

#: SQLite numbers rows by itself only for INTEGER keys.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _sites()
    _user_records()
    _jobs()
    _idempotency_keys()


def _sites() -> None:
    op.create_table(
        "sites",
        sa.Column("id", ID, primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("domain", sa.String(253), nullable=False),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("record_capacity", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sqlite_autoincrement=True,
    )


def _user_records() -> None:
    op.create_table(
        "user_records",
        sa.Column("id", ID, primary_key=True),
        sa.Column("site_id", ID, sa.ForeignKey("sites.id"), nullable=False, index=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("phone", sa.String(40), nullable=False),
        sa.Column("address", sa.String(500), nullable=False),
        sa.Column("country", sa.String(100), nullable=False),
        sa.Column("state", sa.String(100), nullable=False),
        sa.Column("city", sa.String(100), nullable=False),
        sa.Column("pincode", sa.String(20), nullable=False),
        sa.Column("dob", sa.String(10)),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sqlite_autoincrement=True,
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", ID, primary_key=True),
        sa.Column("user_id", ID, sa.ForeignKey("user_records.id"), nullable=False),
        sa.Column("site_id", ID, sa.ForeignKey("sites.id"), nullable=False),
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("execution_time", sa.Double(), nullable=False),
        sa.Column("band", sa.String(20), nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("run_at", TIME),
        sa.Column("submitted_at", TIME, nullable=False),
        sa.Column("enqueued_at", TIME, nullable=False),
        sa.Column("dispatched_at", TIME),
        sa.Column("started_at", TIME),
        sa.Column("finished_at", TIME),
        sa.Column("slice", sa.String(40)),
        sa.Column("points", sa.Integer()),
        sa.Column("run_time", sa.Double()),
        sa.Column("result", sa.JSON()),
        sa.Column("error", sa.Text()),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_status_band", "jobs", ["status", "band", "enqueued_at"])
    op.create_index("ix_jobs_site_status", "jobs", ["site_id", "status", "id"])
    op.create_index("ix_jobs_user_status", "jobs", ["user_id", "status", "id"])
    pending, scheduled = sa.text("status = 'pending'"), sa.text("status = 'scheduled'")
    op.create_index("ix_jobs_pending", "jobs", ["id"], sqlite_where=pending, postgresql_where=pending)
    op.create_index("ix_jobs_due", "jobs", ["run_at"], sqlite_where=scheduled, postgresql_where=scheduled)


def _idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("location", sa.Text()),
        sa.Column("created_at", TIME, nullable=False, index=True),
    )


def downgrade() -> None:
    for table in ("idempotency_keys", "jobs", "user_records", "sites"):
        op.drop_table(table)
