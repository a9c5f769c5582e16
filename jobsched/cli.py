"""The commands of jobsched. Each is thin: it reads the settings, and hands them to the module that does the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from jobsched import __version__
from jobsched.config import Settings, load
from jobsched.domain import ConfigError, JobschedError
from jobsched.home import running


class _Commands(click.Group):
    """Answers a fault that has a sentence for people with the sentence: exit code 2 for settings, else 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for fault in error.faults:
                click.echo(fault, err=True)
            ctx.exit(2)
        except JobschedError as error:
            click.echo(f"jobsched: {error}", err=True)
            ctx.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Fair scheduling of many customers' jobs on one pool of workers."""


@main.command()
def up() -> None:
    """Run the whole stack on this machine until Ctrl-C."""
    from jobsched import stack

    stack.up(os.environ)


@main.command()
def dispatcher() -> None:
    """Hand waiting jobs to the workers' queues."""
    _run("dispatcher")


@main.command()
def worker() -> None:
    """Run the worker processes of this host."""
    _run("workers")


@main.command()
def scheduler() -> None:
    """Wake jobs that are due, with rq-scheduler."""
    _run("schedule")


@main.command()
@click.option("--new", "message", metavar="MESSAGE", help="Write a new revision that leads to the models instead.")
def migrate(message: str | None) -> None:
    """Bring the database's tables up to date."""
    from sqlalchemy.exc import OperationalError

    from jobsched import schema

    settings = load()
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        schema.revise(settings, message) if message else schema.upgrade(settings)
    except OperationalError as error:
        raise click.ClickException(f"the database can not be used: {error.orig}") from error


@main.command()
def repair() -> None:
    """Mend now what went astray between the database and Redis, and print the counts."""
    counts: dict[str, int] = _function("repair", "main")(_settings_of_running())
    for name, count in counts.items():
        click.echo(f"{count:>8}  {name}")


@main.command()
def info() -> None:
    """Show RQ's queues and workers, of the stack that runs in this home or of REDIS_URL."""
    from rq.cli.cli import main as rq

    rq.main(["info", "--url", _settings_of_running().redis_url], prog_name="rq")


@main.command()
def demo() -> None:
    """Run twenty jobs of five sites on a stack of its own, and show in which order they ran."""
    _function("demo", "main")()


def _run(module: str) -> None:
    """Run a module's ``main`` with the settings until it is told to stop, and exit with its code."""
    sys.exit(_function(module, "main")(load()))


def _function(module: str, name: str) -> Callable[..., Any]:
    """A command imports only what it runs: the others' imports would double its start."""
    function: Callable[..., Any] = getattr(import_module(f"jobsched.{module}"), name)
    return function


def _settings_of_running() -> Settings:
    """The settings; without REDIS_URL, that of the stack which runs in this home."""
    settings = load()
    stack = None if os.environ.get("REDIS_URL") else running(settings.home)
    return load({**os.environ, "REDIS_URL": stack.redis_url}) if stack else settings
