"""Settings: reads them once from the environment, and reports all faults together."""

from __future__ import annotations

import math
import os
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from jobsched.base.addresses import database_url, redacted, redis_url, sqlite_url
from jobsched.domain import Bands, ConfigError, Tier, tiers_of
from jobsched.policy import POLICIES

T = TypeVar("T")

#: The variables that are read, besides those whose names begin with JOBSCHED_.
_UNPREFIXED = frozenset({"REDIS_URL", "DATABASE_URL", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "HOST", "PORT"})
#: The variables of ours and of RQ's that hold a password or a key; tasks do not get them.
SECRETS = ("DATABASE_URL", "REDIS_URL", "RQ_REDIS_PASSWORD", "RQ_REDIS_URL", "SECRET_KEY", "SECRET_KEY_FALLBACKS")
#: The longest time that a setting may name: with much longer ones, sums of times overflow.
_DAY_S = 86_400.0
#: How much of a wrong value a fault shows, in characters.
LONGEST_SHOWN = 200
#: What may become of a start that outlasts the bound of its band.
OVERRUN = {
    "demote": "stopped, and put into the next lane",
    "fail": "stopped, and failed for good, whatever retries are left",
    "allow": "let run",
}


@dataclass(frozen=True)
class Settings:
    """Everything that may differ between two installations. Times are in seconds unless the name says else."""

    #: State of the embedded stack: its Redis, its SQLite file, its secret key.
    home: Path
    #: The Redis that holds the board and RQ's queues.
    redis_url: str = field(repr=False)
    #: The ledger, as a URL of :mod:`jobsched.base.addresses`.
    database_url: str = field(repr=False)
    #: Signs what the web hands to browsers.
    secret_key: str = field(repr=False)
    #: Keys that were the secret key before: what they signed is still good.
    secret_key_fallbacks: tuple[str, ...] = field(repr=False)
    #: Where the web listens.
    host: str
    port: int
    #: The name of a row of ``policy.POLICIES``.
    policy: str
    bands: Bands
    tiers: tuple[Tier, ...]
    #: Worker processes that ``worker.py`` starts on this host.
    workers: int
    #: Modules that register tasks.
    tasks: tuple[str, ...]
    #: Names of ``SECRETS`` that tasks get all the same.
    task_env: tuple[str, ...]
    #: Starts that a job gets before an expired lease fails it.
    max_attempts: int
    #: Estimated work that one slice may carry.
    slice_budget_ms: float
    #: What becomes of a start that outlasts its band: a name of ``OVERRUN``.
    overrun: str
    #: How much longer than its band's bound a start may take before that.
    overrun_grace_ms: float
    #: How long a dispatched slice may stay silent before it is taken back.
    lease_s: float
    #: How often a dispatcher sweeps for what went astray.
    repair_every_s: float


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of ``environ`` (default: the process's own).

    Space around a value is no part of it, and a blank one counts as unset. Raises ConfigError with every fault, each
    naming its variable and what would be right, and none showing a password.
    """
    env = os.environ if environ is None else environ
    faults: list[str] = []

    def read(name: str, default: str, parse: Callable[[str], T], right: str = "") -> T:
        raw = env.get(name, "").strip() or default
        try:
            return parse(raw)
        except ValueError as error:
            faults.append(f"{name}={_shown(raw)!r}: {f'must be {right}' if right else error}")
            return parse(default)

    home = home_of(env)
    port = read("PORT", "8000", _whole(1, 65535), "a port, 1 to 65535")
    policy = read("JOBSCHED_POLICY", "balanced", _one_of(POLICIES), f"one of {', '.join(POLICIES)}")
    bands = read("JOBSCHED_BANDS", "0.001,0.01,0.1,1,10", lambda raw: Bands.of([_seconds(b) for b in raw.split(",")]),
                 "ascending upper bounds in seconds, each at least 0.000001, as 0.001,0.01,0.1,1,10")
    tiers = read("JOBSCHED_TIERS", "5,10", lambda raw: tiers_of([_integer(b) for b in raw.split(",")]),
                 "two ascending counts of pending jobs, as 5,10")
    workers = read("JOBSCHED_WORKERS", "4", _whole(1, 1024), "a whole number, 1 to 1024")
    max_attempts = read("JOBSCHED_MAX_ATTEMPTS", "3", _whole(1, 100), "a whole number, 1 to 100")
    slice_budget_ms = read("JOBSCHED_SLICE_BUDGET", "100", _number(0.001, 1000 * _DAY_S),
                           "milliseconds, 0.001 to 86400000")
    overrun = read("JOBSCHED_OVERRUN", "demote", _one_of(OVERRUN), f"one of {', '.join(OVERRUN)}")
    overrun_grace_ms = read("JOBSCHED_OVERRUN_GRACE", "250", _number(0.001, 1000 * _DAY_S),
                            "milliseconds, 0.001 to 86400000")
    lease_s = read("JOBSCHED_LEASE", "8", _number(0.1, _DAY_S), "seconds, 0.1 to 86400")
    repair_every_s = read("JOBSCHED_REPAIR_EVERY", "3", _number(0.1, _DAY_S), "seconds, 0.1 to 86400")
    redis = read("REDIS_URL", "redis://127.0.0.1:6379/0", redis_url)
    database = read("DATABASE_URL", sqlite_url(home / "jobsched.db"), database_url)
    read("WEB_CONCURRENCY", "2", _whole(1, 1024), "a whole number, 1 to 1024")
    read("JOBSCHED_TASK_ENV", "", _names_of(SECRETS), f"names of {', '.join(SECRETS)}, with commas")
    if faults:
        raise ConfigError(faults)
    return Settings(
        home=home,
        redis_url=redis,
        database_url=database,
        secret_key=env.get("SECRET_KEY", "").strip() or secrets.token_hex(32),
        secret_key_fallbacks=older_keys(env),
        host=env.get("HOST", "").strip() or "127.0.0.1",
        port=port,
        policy=policy,
        bands=bands,
        tiers=tiers,
        workers=workers,
        tasks=task_modules(env),
        task_env=task_env(env),
        max_attempts=max_attempts,
        slice_budget_ms=slice_budget_ms,
        overrun=overrun,
        overrun_grace_ms=overrun_grace_ms,
        lease_s=lease_s,
        repair_every_s=repair_every_s,
    )


def home_of(environ: Mapping[str, str]) -> Path:
    """The folder that keeps the state of the embedded stack."""
    return _path(environ.get("JOBSCHED_HOME", ""), "var")


def older_keys(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The keys that were the secret key before, the newest first."""
    return _list(environ.get("SECRET_KEY_FALLBACKS", ""))


def task_modules(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The modules that register tasks, as ``environ`` names them."""
    return _list(environ.get("JOBSCHED_TASKS", ""))


def task_env(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that tasks get although they hold a secret, as ``environ`` names them."""
    return _list(environ.get("JOBSCHED_TASK_ENV", ""))


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """What of ``environ`` is no setting: for a stack that touches no Redis, database or home but its own."""
    return {name: value for name, value in environ.items()
            if name not in _UNPREFIXED and not name.startswith("JOBSCHED_")}


def _list(raw: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in raw.split(",") if name.strip())


def _path(raw: str, default: str) -> Path:
    """The absolute path that ``raw`` names; space at its end may be part of a name, a line's end is not."""
    path = Path(raw.lstrip().rstrip("\r\n") if raw.strip() else default)
    with suppress(RuntimeError):  # a ~ of nobody is a name like any other
        path = path.expanduser()
    return path.absolute()


def _integer(raw: str) -> int:
    """Digits of ASCII only, and not thousands of them: int() takes ``1_0`` and digits of all scripts as well."""
    if not re.fullmatch(r"[0-9]{1,19}", raw.strip()):
        raise ValueError(raw)
    return int(raw)


def _shown(raw: str) -> str:
    """A value as a fault shows it: without a password, and cut where it is long."""
    told = redacted(raw)
    return told if len(told) <= LONGEST_SHOWN else f"{told[:LONGEST_SHOWN]}..."


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        value = _integer(raw)
        if not low <= value <= high:
            raise ValueError(raw)
        return value

    return parse


def _one_of(names: Mapping[str, object]) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw not in names:
            raise ValueError(raw)
        return raw

    return parse


def _names_of(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(raw: str) -> tuple[str, ...]:
        if not set(names := _list(raw)) <= set(known):
            raise ValueError(raw)
        return names

    return parse


def _seconds(raw: str) -> float:
    value = float(raw)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(raw)
    return value


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(raw: str) -> float:
        if not low <= float(raw) <= high:  # nor is nan
            raise ValueError(raw)
        return float(raw)

    return parse
