"""jobsched: fair scheduling of many customers' jobs on one pool of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsched.base.version import __version__
from jobsched.tasks import Run, task

if TYPE_CHECKING:
    from flask import Flask

    from jobsched.config import Settings

__all__ = ["Run", "__version__", "create_app", "task"]


def create_app(settings: Settings | None = None) -> Flask:
    """The web application, for ``settings`` or those of the environment. Raises ConfigError."""
    from jobsched.web import application  # a worker that imports ``task`` must not pay for the web

    return application.create_app(settings)
