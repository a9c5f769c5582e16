"""Who gets what: limits of sites, what operators set at run time, and the history that estimates come from.

Revision: 0002, after 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COMPLETED = sa.text("status = 'completed'")


def upgrade() -> None:
    _sites()
    _jobs()
    op.create_table(
        "controls",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("value", sa.String(200), nullable=False),
    )


def _sites() -> None:
    for column in (
        sa.Column("weight", sa.Double(), nullable=False, server_default="1"),
        sa.Column("max_running", sa.Integer()),
        sa.Column("rate_per_s", sa.Double()),
        sa.Column("burst", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("max_pending", sa.Integer()),
        sa.Column("paused", sa.Boolean(), nullable=False, server_default=sa.false()),
    ):
        op.add_column("sites", column)


def _jobs() -> None:
    op.add_column("jobs", sa.Column("estimated", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("jobs", sa.Column("overruns", sa.Integer(), nullable=False, server_default="0"))
    for name, columns in (("site", ["task", "site_id", "id"]), ("task", ["task", "id"])):
        op.create_index(f"ix_jobs_history_{name}", "jobs", columns, sqlite_where=COMPLETED,
                        postgresql_where=COMPLETED)


def downgrade() -> None:
    op.drop_table("controls")
    for name in ("site", "task"):
        op.drop_index(f"ix_jobs_history_{name}", "jobs")
    for name in ("estimated", "overruns"):
        op.drop_column("jobs", name)
    for name in ("weight", "max_running", "rate_per_s", "burst", "max_pending", "paused"):
        op.drop_column("sites", name)
