"""What the application holds for every request."""

from __future__ import annotations

from typing import cast

from flask import current_app

from jobsched.board import Board
from jobsched.config import Settings


def board() -> Board:
    """The board, through a client that gives up within seconds."""
    return cast("Board", current_app.extensions["jobsched.board"])


def settings() -> Settings:
    """The application's settings."""
    return cast("Settings", current_app.config["JOBSCHED"])
