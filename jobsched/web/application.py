"""The Flask application, put together from its parts."""

from __future__ import annotations

from pathlib import Path

from flask import Flask
from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter

from jobsched import tasks
from jobsched.base.connections import connect
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.ledger.database import ledger_app
from jobsched.queues import seal
from jobsched.web import guard, index
from jobsched.web.api import controls, crud, jobs, why
from jobsched.web.api.jobs import Jobs
from jobsched.web.api.sites import Sites
from jobsched.web.api.user_records import UserRecords
from jobsched.web.http import body, problems
from jobsched.web.pages import jinja
from jobsched.web.prefix import Prefix
from jobsched.work.loading import load_with_tasks

_PACKAGE = Path(__file__).parent.parent


class Id(BaseConverter):
    """An id in a path: what can not be one is not found."""

    regex = r"[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        if int(value) > body.MOST_INTEGER:
            raise NotFound  # a mere ValidationError would let the other methods of the path answer
        return int(value)


def create_app(settings: Settings | None = None) -> Flask:
    """The web application, for ``settings`` or those of the environment.

    It does not connect to anything yet. Raises ConfigError, also for a module of tasks that can not be imported.
    """
    if settings is None:
        settings = load_with_tasks()
    else:
        tasks.load(settings.tasks)
    seal.ours()
    app = ledger_app(settings, template_folder=_folder("templates"), static_folder=_folder("static"))
    redis = connect(settings.redis_url, patient=False)
    app.extensions |= {"jobsched.redis": redis, "jobsched.board": Board(redis)}
    app.url_map.converters["id"] = Id
    app.url_map.merge_slashes = False
    for part in (guard, body, problems, jinja, index):
        part.install(app)
    for resource in (Sites(), UserRecords(), Jobs()):
        app.register_blueprint(crud.blueprint(resource))
    for module in (jobs, controls, why):
        app.register_blueprint(module.routes)
    app.wsgi_app = Prefix(app.wsgi_app)  # type: ignore[method-assign]
    return app


def _folder(name: str) -> str:
    """A folder that the wheel carries inside the package, and that stands beside it in the repository."""
    inside = _PACKAGE / name
    return str(inside if inside.is_dir() else _PACKAGE.parent / name)
