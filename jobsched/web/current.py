"""The objects that the application holds for all requests."""

from __future__ import annotations

from typing import cast

from flask import current_app
from redis import Redis

from jobsched.board import Board
from jobsched.config import Settings
from jobsched.domain import Band


def redis() -> Redis:
    """A client that gives up within seconds."""
    return cast("Redis", current_app.extensions["jobsched.redis"])


def board() -> Board:
    """The board, through that client."""
    return cast("Board", current_app.extensions["jobsched.board"])


def settings() -> Settings:
    """The application's settings."""
    return cast("Settings", current_app.config["JOBSCHED"])


def band(asked: str) -> Band:
    """The band of that name or label. Raises LookupError, which says what there is."""
    bands = settings().bands
    for one in bands:
        if asked in (one.name, one.label):
            return one
    raise LookupError(", ".join(f"{one.name} ({one.label})" for one in bands))
