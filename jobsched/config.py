"""Settings: declares each of them once, reads them from the environment, and reports all faults together."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from jobsched.base.addresses import database_url, redis_url, sqlite_url
from jobsched.base.variables import (
    Format,
    Variable,
    digits,
    listed,
    number,
    one_of,
    path,
    seconds,
    some_of,
    whole,
)
from jobsched.domain import Bands, ConfigError, Tier, tiers_of
from jobsched.policy import POLICIES

T = TypeVar("T")

#: The variables, jobsched's and RQ's, that hold a password or a key. Tasks do not get them.
SECRETS = ("DATABASE_URL", "REDIS_URL", "RQ_REDIS_PASSWORD", "RQ_REDIS_URL", "SECRET_KEY", "SECRET_KEY_FALLBACKS")
#: The longest time that a setting may name: sums of much longer times overflow.
_DAY_S = 86_400
#: What may become of a start that outlasts the bound of its lane.
OVERRUN = {
    "demote": "stops it, and moves the job to the next lane",
    "fail": "stops it, and fails the job for good, even if its task has retries left",
    "allow": "lets it run, up to the time limit of its task",
}

_KEY = Format(str, "a long random text")
_FOLDER = Format(path, "a folder; a `~` is understood", keeps_space=True)
_BANDS = Format(lambda text: Bands.of([seconds(bound) for bound in text.split(",")]),
                "ascending upper bounds in seconds, each at least 0.000001, as 0.001,0.01,0.1,1,10")
_TIERS = Format(lambda text: tiers_of([digits(border) for border in text.split(",")]),
                "two ascending counts of pending jobs, as 5,10")
_REDIS = Format(redis_url, "`redis://`, `rediss://`, `unix://`, `host:port`, or the absolute path of a socket",
                explains=True)
_DATABASE = Format(database_url,
                   "`postgresql://` (always by psycopg), `sqlite:///`, or the path of a file, as `jobs.db`",
                   explains=True)


def _setting(name: str, format: Format[T], default: str | Callable[[Mapping[str, Any]], str], meaning: str,
             shown: str = "") -> T:
    """A field of Settings that the variable ``name`` sets. A secret stays out of the repr."""
    variable = Variable(name, format, default, meaning, shown)
    return cast(T, field(repr=name not in SECRETS, metadata={"variable": variable}))


@dataclass(frozen=True)
class Settings:
    """Everything that may differ between two installations. A setting is declared here and nowhere else.

    :func:`load` reads each field as declared, and ``make map`` draws the table in docs/operations.md from them. Times
    are in seconds, unless the name of the field says otherwise.
    """

    port: int = _setting("PORT", whole(1, 65535, "a port"), "8000", "the port on which the web listens")
    host: str = _setting("HOST", Format(str, "`127.0.0.1` or `localhost`"), "127.0.0.1",
                         "the host on which the web listens: only this machine, because there are no access keys")
    web_processes: int = _setting("WEB_CONCURRENCY", whole(1, 1024), "2", "web processes, of eight threads each")
    home: Path = _setting("JOBSCHED_HOME", _FOLDER, "var",  # noqa: RUF009 - it makes a field
                          "the state of the embedded stack: its Redis, its SQLite file, its secret key")
    redis_url: str = _setting("REDIS_URL", _REDIS, "redis://127.0.0.1:6379/0",
                              "the Redis, 6.2 or later, that holds the board and RQ's queues", "an embedded server")
    database_url: str = _setting("DATABASE_URL", _DATABASE, lambda read: sqlite_url(read["home"] / "jobsched.db"),
                                 "the ledger", "SQLite in `JOBSCHED_HOME`")
    secret_key: str = _setting("SECRET_KEY", _KEY, lambda read: secrets.token_hex(32),
                               "signs what the web gives to browsers, and seals the jobs in RQ's queues: the same for"
                               " all processes of all hosts", "made, and kept in `JOBSCHED_HOME`")
    secret_key_fallbacks: tuple[str, ...] = _setting("SECRET_KEY_FALLBACKS", Format(listed, "keys, with commas"), "",
                                                     "other keys whose signatures and seals are accepted")
    policy: str = _setting("JOBSCHED_POLICY", one_of(POLICIES), "balanced", "the policy that ranks the sites")
    bands: Bands = _setting("JOBSCHED_BANDS", _BANDS, "0.001,0.01,0.1,1,10",  # noqa: RUF009 - as above
                            "the bands of jobs by their estimated execution time")
    tiers: tuple[Tier, ...] = _setting("JOBSCHED_TIERS", _TIERS, "5,10",
                                       "the pending jobs with which a user becomes VeryActive and HyperActive")
    workers: int = _setting("JOBSCHED_WORKERS", whole(1, 1024), "4", "worker processes on this host")
    tasks: tuple[str, ...] = _setting("JOBSCHED_TASKS", Format(listed, "names of modules, with commas"), "",
                                      "the modules that register tasks")
    task_env: tuple[str, ...] = _setting("JOBSCHED_TASK_ENV", some_of(SECRETS), "",
                                         "the secrets that stay in the environment of tasks")
    max_attempts: int = _setting("JOBSCHED_MAX_ATTEMPTS", whole(1, 100), "3",
                                 "how often a job may start before an expired lease fails it")
    slice_budget_ms: float = _setting("JOBSCHED_SLICE_BUDGET", number(0.001, 1000 * _DAY_S, "milliseconds"), "100",
                                      "how much estimated work a slice may carry")
    overrun: str = _setting("JOBSCHED_OVERRUN", one_of(OVERRUN), "demote",
                            "what happens to a start that exceeds the bound of its lane: "
                            + "; ".join(f"`{name}` {what}" for name, what in OVERRUN.items()))
    overrun_grace_ms: float = _setting("JOBSCHED_OVERRUN_GRACE", number(0.001, 1000 * _DAY_S, "milliseconds"), "250",
                                       "how far a start may exceed that bound")
    lease_s: float = _setting("JOBSCHED_LEASE", number(0.1, _DAY_S, "seconds"), "8",
                              "how long a slice stays in flight unless its worker renews the lease")
    repair_every_s: float = _setting("JOBSCHED_REPAIR_EVERY", number(0.1, _DAY_S, "seconds"), "3",
                                     "how often a dispatcher runs the sweep")


#: The variable that sets each field, in the order in which they are read.
VARIABLES: Mapping[str, Variable[Any]] = {each.name: each.metadata["variable"] for each in fields(Settings)}


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of ``environ`` (default: the process's own).

    Space around a value is ignored, and a blank variable counts as unset. Raises ConfigError with every fault. Each
    fault names its variable and says what would be right; none shows a password.
    """
    env = os.environ if environ is None else environ
    read: dict[str, Any] = {}
    faults: list[str] = []
    for name, variable in VARIABLES.items():
        try:
            read[name] = variable.read(env, read)
        except ValueError as fault:
            faults.append(str(fault))
    if faults:
        raise ConfigError(faults)
    return Settings(**read)


def home_of(environ: Mapping[str, str]) -> Path:
    """The folder that holds the state of the embedded stack."""
    return cast(Path, VARIABLES["home"].read(environ, {}))


def older_keys(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The keys beside SECRET_KEY whose signatures and seals are believed, in the order in which they are named."""
    return _listed("secret_key_fallbacks", environ)


def task_modules(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the modules that register tasks."""
    return _listed("tasks", environ)


def task_env(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The names in JOBSCHED_TASK_ENV, also those that :func:`load` refuses because they are no secrets."""
    return _listed("task_env", environ)


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` without any setting: for a stack that must use its own Redis, database and home."""
    ours = {variable.name for variable in VARIABLES.values()}
    return {name: value for name, value in environ.items() if name not in ours and not name.startswith("JOBSCHED_")}


def _listed(setting: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    return listed(environ.get(VARIABLES[setting].name, ""))
