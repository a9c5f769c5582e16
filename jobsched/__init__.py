"""jobsched: fair scheduling of many customers' jobs on one pool of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsched.tasks import Run, task

if TYPE_CHECKING:
    from flask import Flask

    from jobsched.config import Settings

__all__ = ["Run", "create_app", "task"]
__version__ = "0.1.0"


def create_app(settings: Settings | None = None) -> Flask:
    """The web application, for ``settings`` or those of the environment. Raises ConfigError."""
    from jobsched.web import application  # a worker that imports ``task`` must not pay for the web

    return application(settings)
