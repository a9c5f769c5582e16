"""Migrated tables never reuse an id, since a late worker knows only an id and an attempt."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jobsched.config import Settings
from jobsched.ledger import schema
from jobsched.ledger.database import ledger_app, writing
from jobsched.ledger.models import db
from tests.support import make_job, make_site, make_user


@pytest.fixture(autouse=True)
def _migrated(settings: Settings) -> Iterator[None]:
    schema.upgrade(settings)
    with ledger_app(settings).app_context():
        yield
        db.engine.dispose()


def test_the_id_of_a_deleted_row_is_not_given_again() -> None:
    site = make_site()
    user = make_user(site)
    job = make_job(user)
    with writing() as session:
        for row in (job, user, site):
            session.delete(session.get_one(type(row), row.id))

    again = make_site()
    assert again.id > site.id
    assert make_user(again).id > user.id
    assert make_job(make_user(again)).id > job.id
