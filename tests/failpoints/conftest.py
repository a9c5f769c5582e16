from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest
from flask import Flask

from jobsched import create_app
from jobsched.config import Settings
from jobsched.ledger.models import db
from tests.promise.fixtures import postgresql_stage, sqlite_stage, stage  # noqa: F401


@pytest.fixture(scope="module")
def web_on() -> Iterator[Callable[[Settings], Flask]]:
    """Makes the web application for settings, once."""
    made = []

    @cache
    def make(settings: Settings) -> Flask:
        made.append(create_app(settings))
        return made[-1]

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()
