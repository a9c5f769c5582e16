"""Fixtures for the tests of the web: the application on real parts, and clients of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TypeAlias

import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis

from jobsched.config import Settings
from jobsched.ledger.models import db
from jobsched.policy import POLICIES
from jobsched.web.application import create_app
from tests.integration.requests import board_of
from tests.support import create_tables

MakeClient: TypeAlias = Callable[[Settings], FlaskClient]


@pytest.fixture
def make_client() -> Iterator[MakeClient]:
    """Makes a client of a new application; its database is used as it is."""
    with ExitStack() as stack:

        def make(settings: Settings) -> FlaskClient:
            app = create_app(settings)
            stack.callback(_close, app)
            return app.test_client()

        yield make


@pytest.fixture
def client(make_client: MakeClient, settings: Settings, redis: Redis) -> FlaskClient:
    """A client of the application, with an empty database and an empty board."""
    client = make_client(settings)
    with client.application.app_context():
        create_tables()
    board_of(client).rules.install(POLICIES[settings.policy], settings.bands, settings.tiers)
    return client


def _close(app: Flask) -> None:
    app.extensions["jobsched.redis"].close()
    with app.app_context():
        db.engine.dispose()
