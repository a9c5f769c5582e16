"""The command line: each command reads the settings and calls the module that does the work.

Each command imports what it runs inside its function, because the imports of all commands would double its start time.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

import click

from jobsched.base.addresses import without_passwords
from jobsched.base.home import make, running
from jobsched.base.version import __version__
from jobsched.config import Settings, load
from jobsched.domain import ConfigError, JobschedError
from jobsched.policy import POLICIES


class _Commands(click.Group):
    """Reports a known error as a sentence, and exits with 2 for settings, else with 1."""

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
        except Exception as error:
            sentence = _of_server(error)
            if sentence is None:
                raise
            click.echo(f"jobsched: {without_passwords(sentence)}", err=True)
            ctx.exit(1)


class _Finite(click.FloatRange):
    """A range of numbers that are neither infinite nor ``nan``, which is in every range."""

    name = "float range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class _NewFile(click.Path):
    """A file that can be written, or created in an existing folder; checked before anything runs."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.exists() and not os.access(path.parent, os.W_OK | os.X_OK):
            why = "may not be written to" if path.parent.is_dir() else "is not a folder"
            self.fail(f"{str(path)!r} can not be made: {str(path.parent)!r} {why}.", param, ctx)
        return path


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Fair scheduling of many customers' jobs on one pool of workers."""


@main.command()
@click.option("--procfile/--no-procfile", default=None, help="Run the programs of the Procfile in this folder, or"
              " jobsched's own.  [default: those of the Procfile, if there is one]")
def up(procfile: bool | None) -> None:
    """Run the whole stack on this machine until Ctrl-C."""
    from jobsched.host import up

    try:
        path = Path("Procfile").absolute()
    except FileNotFoundError:
        raise JobschedError("the current folder no longer exists; change to one that does") from None
    up.up(os.environ, path if procfile or (procfile is None and path.exists()) else None)


@main.command()
def web() -> None:
    """Serve the pages and the API, with gunicorn."""
    from jobsched.work.loading import load_and_try_tasks

    if not os.environ.get("WEB_CONCURRENCY", "1").strip().isdecimal():  # gunicorn reads it before our configuration
        load_and_try_tasks(os.environ)  # raises with all faults, unless the value is blank, as good as unset
        del os.environ["WEB_CONCURRENCY"]
    arguments = ["--config", "python:jobsched.host.gunicorn", "jobsched.web.application:create_app()"]
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *arguments])  # noqa: S606


@main.command()
def dispatcher() -> None:
    """Put waiting jobs into the workers' queues."""
    from jobsched.dispatch import dispatcher

    dispatcher.main(load())


@main.command()
def worker() -> None:
    """Run the worker processes of this host."""
    from jobsched.work import pool

    pool.main()


@main.command()
def scheduler() -> None:
    """Wake jobs that are due, with rq-scheduler."""
    from jobsched.queues import scheduler

    scheduler.main(load())


@main.command()
@click.option("--new", "message", metavar="MESSAGE", help="Instead write a revision, from the tables to the models.")
def migrate(message: str | None) -> None:
    """Bring the database's tables up to date."""
    from jobsched.ledger import schema

    settings = load()
    if not os.environ.get("DATABASE_URL", "").strip():
        make(settings.home)
    schema.revise(settings, message) if message else schema.upgrade(settings)


@main.command()
def repair() -> None:
    """Repair what differs between the database and Redis.

    Prints how many differences each repair has mended.
    """
    from jobsched.dispatch import repair

    for name, count in repair.main(_settings_of_running()).items():
        click.echo(f"{count:>8}  {name}")


@main.command()
@click.argument("name", required=False, type=click.Choice(list(POLICIES)))
@click.option("--default", is_flag=True, help="Restore the policy that JOBSCHED_POLICY names.")
def policy(name: str | None, default: bool) -> None:
    """Show the policy, or change it to NAME.

    The policy decides how sites are ranked.
    """
    if name and default:
        raise click.UsageError("either NAME or --default")
    from jobsched.intake import controls

    now, is_told = controls.main(_settings_of_running(), name, change=bool(name or default))
    for known in POLICIES.values():
        click.echo(f"{'*' if known.name == now.policy.name else ' '} {known.name:<10}{known.purpose}")
    click.echo("chosen at run time" if now.chosen else "as the settings say")
    if not is_told:
        click.echo("jobsched: the board does not answer; the next sweep changes its policy", err=True)


@main.command()
@click.option("--workers", type=click.IntRange(1, 1024), help="Workers to plan for.  [default: JOBSCHED_WORKERS]")
@click.option("--wait", "wait_s", metavar="SECONDS", type=_Finite(0, min_open=True),
              help="A target for the mean wait: also print how many workers it requires.")
@click.option("--json", "as_json", is_flag=True, help="Print an object instead of a table.")
def plan(**options: Any) -> None:
    """Show how many workers each lane should get.

    The plan follows the load of the last minutes.
    """
    from jobsched.staffing import command

    command.main(_settings_of_running(), **options)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def info(args: tuple[str, ...]) -> None:
    """Show RQ's queues and workers.

    They are those in REDIS_URL, or else those of the stack that runs in this home.

    ARGS are those of rq info: queues, --only-queues, --only-workers, --by-queue, --raw, --interval SECONDS. The command
    only counts: it neither loads nor runs anything that Redis holds, and it changes nothing.
    """
    from jobsched.queues import monitor

    monitor.main(_settings_of_running().redis_url, args)


@main.command()
def demo() -> None:
    """Run twenty jobs of five sites, and show their order.

    They run on a separate stack, which ends with the demo.
    """
    from jobsched.host import demo

    demo.main()


@main.command()
@click.argument("workload", required=False)
@click.option("--history", nargs=2, metavar="FROM TO",
              type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]),
              help="Instead of WORKLOAD, the jobs that the ledger recorded between two times (UTC): 2026-11-02T08:00 or"
              " 2026-11-02.")
@click.option("--policy", "policies", multiple=True, type=click.Choice(list(POLICIES)),
              help="A policy to run on the board; may be repeated.  [default: all]")
@click.option("--baselines/--no-baselines", default=True,
              help="Also run common alternatives: one queue, round robin, SRPT, ...")
@click.option("--jobs", type=click.IntRange(1), help="The number of jobs to draw.")
@click.option("--workers", type=click.IntRange(1, 1024), help="The number of virtual workers.")
@click.option("--load", type=_Finite(0, min_open=True), help="The load per worker; 1 keeps all workers busy.")
@click.option("--seed", type=int, default=1, show_default=True, help="The seed of all random draws.")
@click.option("--single-lane", is_flag=True, help="Put all jobs into one lane.")
@click.option("--even", is_flag=True, help="Assign workers to lanes as if the load were unknown.")
@click.option("--overhead-ms", type=_Finite(0), default=0.0, help="The overhead of each slice for its worker.")
@click.option("--redis", type=click.Choice(["real", "fake"]), default="real", show_default=True,
              help="Use a separate Redis server, or fakeredis.")
@click.option("--expect/--no-expect", default=None, help="Check forecasts of when jobs start."
              "  [default: up to 100,000 jobs]")
@click.option("--json", "as_json", is_flag=True, help="Print a list with a row for each policy, instead of tables.")
@click.option("--html", type=_NewFile(dir_okay=False, writable=True), help="Write a page with plots to this file.")
def simulate(workload: str | None, **options: Any) -> None:
    """Run WORKLOAD on the real board, on a virtual clock.

    Common alternatives, like one queue or round robin, run the same workload for comparison.

    WORKLOAD is pareto-1.0, pareto-1.1, pareto-1.5, lognormal, flood (the default), heavy, honest, split, lie-short,
    lie-long, demo, or a file. The word marks runs all workloads that have marks, figures that a policy must reach; the
    exit code is 1 if one is missed.

    The name of a file ends in .jsonl. Each line is an object: at, in seconds from the start; execution_time, in
    seconds, up to the last band; site and user, whole numbers; optionally length, the seconds that the job really
    takes, up to 100 times the last band.
    """
    if workload and options["history"]:
        raise click.UsageError(f"either WORKLOAD or --history; got both, {workload!r} and two times")
    from jobsched.simulate import command

    command.main(load(), workload=workload or "flood", **options)


def _of_server(error: Exception) -> str | None:
    """A sentence for an error of a server that is unreachable or not migrated; None for any other error."""
    import sqlalchemy.exc as sql

    from jobsched.base import redis_errors
    from jobsched.base.database_errors import Kind, meaning

    if isinstance(error, sql.DBAPIError) and meaning(error).kind in (Kind.AWAY, Kind.UNFIT):
        return f"the database can not be used: {error.orig}"
    return redis_errors.sentence(error) if redis_errors.is_trouble(error) else None


def _settings_of_running() -> Settings:
    """The settings; without REDIS_URL, with the Redis of the stack that runs in this home."""
    settings = load()
    up = None if os.environ.get("REDIS_URL", "").strip() else running(settings.home)
    return load({**os.environ, "REDIS_URL": up.redis_url}) if up else settings
