"""Deletes rows that are kept for a while only."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete

from jobsched.ledger.database import writing
from jobsched.ledger.models import IdempotencyKey, shared_now

#: How long the first answer to an Idempotency-Key is kept.
KEEP_KEYS = timedelta(days=1)


def prune_idempotency_keys(now: datetime | None = None) -> int:
    """Forget answers whose Idempotency-Key is older than KEEP_KEYS; returns how many."""
    with writing() as session:
        old = delete(IdempotencyKey).where(IdempotencyKey.created_at < (now or shared_now(session)) - KEEP_KEYS)
        return int(session.execute(old).rowcount)  # type: ignore[attr-defined]
