"""The indexes of history name the status, so that SQLite prefers them.

SQLite weighs two indexes by how wide it guesses the rows to be. Since 0003, with its columns of text, it read a site's
history by another index, past the jobs of all other tasks.

Revision: 0004, after 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEYS = {"ix_jobs_history_site": ["task", "site_id"], "ix_jobs_history_task": ["task"]}


def upgrade() -> None:
    _make(["status", "id"])


def downgrade() -> None:
    _make(["id"])


def _make(last: list[str]) -> None:
    completed = sa.text("status = 'completed'")
    for name, keys in KEYS.items():
        op.drop_index(name, table_name="jobs")
        op.create_index(name, "jobs", [*keys, *last], sqlite_where=completed, postgresql_where=completed)
