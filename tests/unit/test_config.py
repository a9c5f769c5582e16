"""Settings: what an empty environment means, how each is spelled, and that all faults are listed together."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from jobsched.config import VARIABLES, load, without_settings
from jobsched.domain import ConfigError
from tests.support import BANDS, TIERS


def test_an_empty_environment_is_a_whole_installation() -> None:
    settings = load({})
    home = Path("var").absolute()
    assert (settings.home, settings.host, settings.port) == (home, "127.0.0.1", 8000)
    assert settings.database_url == f"sqlite:///{home / 'jobsched.db'}"
    assert (settings.policy, settings.bands, settings.tiers) == ("balanced", BANDS, TIERS)
    assert (settings.workers, settings.tasks, settings.max_attempts) == (4, (), 3)
    assert settings.slice_budget_ms == 100.0


def test_an_empty_variable_counts_as_unset() -> None:
    names = ("PORT", "DATABASE_URL", "REDIS_URL", "HOST", "JOBSCHED_HOME", "JOBSCHED_POLICY", "JOBSCHED_BANDS",
             "JOBSCHED_TASKS", "JOBSCHED_WORKERS", "SECRET_KEY")
    empty, unset = load(dict.fromkeys(names, "")), load({})
    assert (empty.port, empty.database_url, empty.bands) == (unset.port, unset.database_url, unset.bands)
    assert empty.secret_key


def test_every_variable_is_read(tmp_path: Path) -> None:
    settings = load({
        "JOBSCHED_HOME": str(tmp_path), "REDIS_URL": "redis://cache:6380/2", "DATABASE_URL": "sqlite:////srv/other.db",
        "SECRET_KEY": "s", "HOST": "::1", "PORT": "8123", "JOBSCHED_POLICY": "fair", "JOBSCHED_BANDS": "0.5,60",
        "JOBSCHED_TIERS": "2,3", "JOBSCHED_WORKERS": "7", "JOBSCHED_TASKS": "shop.tasks, mail.tasks,",
        "JOBSCHED_MAX_ATTEMPTS": "5", "JOBSCHED_SLICE_BUDGET": "250", "JOBSCHED_LEASE": "2.5",
        "JOBSCHED_REPAIR_EVERY": "0.5", "JOBSCHED_OVERRUN": "fail", "JOBSCHED_OVERRUN_GRACE": "10",
        "JOBSCHED_TASK_ENV": "REDIS_URL", "SECRET_KEY_FALLBACKS": "older, oldest", "WEB_CONCURRENCY": "6",
    })
    assert (settings.home, settings.redis_url) == (tmp_path, "redis://cache:6380/2")
    assert (settings.database_url, settings.secret_key) == ("sqlite:////srv/other.db", "s")
    assert (settings.host, settings.port, settings.policy) == ("::1", 8123, "fair")
    assert [band.label for band in settings.bands] == ["500ms", "1m"]
    assert [tier.below for tier in settings.tiers] == [2, 3, None]
    assert (settings.workers, settings.tasks) == (7, ("shop.tasks", "mail.tasks"))
    assert (settings.max_attempts, settings.slice_budget_ms) == (5, 250.0)
    assert (settings.lease_s, settings.repair_every_s) == (2.5, 0.5)
    assert (settings.overrun, settings.overrun_grace_ms, settings.task_env) == ("fail", 10.0, ("REDIS_URL",))
    assert (settings.secret_key_fallbacks, settings.web_processes) == (("older", "oldest"), 6)


def test_space_around_a_value_is_no_part_of_it() -> None:
    settings = load({"PORT": " 8123\n", "REDIS_URL": "\tcache:6380 ", "DATABASE_URL": " postgres://host/db\r\n",
                     "HOST": " ", "SECRET_KEY": " s ", "JOBSCHED_HOME": " /srv/home\n",
                     "JOBSCHED_TASKS": " , shop.tasks ,"})
    assert (settings.port, settings.redis_url, settings.host) == (8123, "redis://cache:6380", "127.0.0.1")
    assert (settings.database_url, settings.secret_key) == ("postgresql+psycopg://host/db", "s")
    assert (settings.home, settings.tasks) == (Path("/srv/home"), ("shop.tasks",))


def test_a_home_may_begin_with_a_tilde() -> None:
    assert load({"JOBSCHED_HOME": "~/jobsched"}).home == Path.home() / "jobsched"
    assert load({"JOBSCHED_HOME": "~nobody-at-all/x"}).home == Path("~nobody-at-all/x").absolute()


def test_no_secret_is_in_a_fault_or_in_what_the_settings_look_like() -> None:
    with pytest.raises(ConfigError) as raised:
        load({"REDIS_URL": "redis://:hush@host:port", "DATABASE_URL": "mysql://me:hush@host/db"})
    redis, database = raised.value.faults
    assert redis.startswith("REDIS_URL='redis://***@host:port': must have a port")
    assert database.startswith("DATABASE_URL='mysql://***@host/db': must be a PostgreSQL")
    settings = load({"REDIS_URL": "redis://:hush@host", "DATABASE_URL": "postgres://me:hush@host/db",
                     "SECRET_KEY": "hush"})
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(("name", "value"), [
    *(("PORT", value) for value in ("0", "65536", "http", "80.5", "-1")),
    *(("JOBSCHED_POLICY", value) for value in ("Balanced", "lifo")),
    *(("JOBSCHED_BANDS", value) for value in ("1,1", "10,1", "0,1", "1,,2", "nan", "1,inf", "a")),
    *(("JOBSCHED_TIERS", value) for value in ("5", "10,5", "0,5", "1,2,3", "5,x")),
    *(("JOBSCHED_WORKERS", value) for value in ("0", "1025", "4.0", "many", "1_0", "+4", "\u0664", "9" * 25)),
    *(("JOBSCHED_MAX_ATTEMPTS", value) for value in ("0", "101")),
    *(("JOBSCHED_SLICE_BUDGET", value) for value in ("0", "-1", "nan", "inf", "1e-320", "1e308")),
    *(("JOBSCHED_OVERRUN_GRACE", value) for value in ("0", "nan", "1e308")),
    *(("JOBSCHED_LEASE", value) for value in ("0", "soon", "1e-9", "nan", "86401")),
    *(("JOBSCHED_REPAIR_EVERY", value) for value in ("0", "often", "1e-9", "nan", "86401")),
    *(("WEB_CONCURRENCY", value) for value in ("x", "0", "2.5")),
    *(("DATABASE_URL", value) for value in ("mysql://host/db", "jobs")),
])
def test_a_setting_that_can_not_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load({name: value})
    [fault] = raised.value.faults
    assert fault.startswith(f"{name}={value!r}: must be ")


def test_of_a_long_value_a_fault_shows_the_beginning() -> None:
    with pytest.raises(ConfigError) as raised:
        load({"PORT": "7" * 100_000})
    assert len(str(raised.value)) < 300


def test_all_faults_are_listed_together() -> None:
    with pytest.raises(ConfigError) as raised:
        load({"PORT": "x", "JOBSCHED_POLICY": "y", "JOBSCHED_BANDS": "z", "JOBSCHED_WORKERS": "0", "HOST": "fine"})
    assert [fault.partition("=")[0] for fault in raised.value.faults] == [
        "PORT", "JOBSCHED_POLICY", "JOBSCHED_BANDS", "JOBSCHED_WORKERS",
    ]
    assert str(raised.value).count("\n") == 3


def test_each_start_without_a_secret_key_has_another() -> None:
    assert load({}).secret_key != load({}).secret_key


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        load({}).port = 1  # type: ignore[misc]


def test_another_stack_gets_none_of_our_settings() -> None:
    ours = {variable.name: "1" for variable in VARIABLES.values()} | {"JOBSCHED_FAILPOINTS": "x"}
    assert without_settings({**ours, "PATH": "/bin"}) == {"PATH": "/bin"}


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBSCHED_POLICY", "shortest")
    assert load().policy == "shortest"
