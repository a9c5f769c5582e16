"""Tasks get no secrets of jobsched from the environment, unless they are named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobsched.config import SECRETS, load
from jobsched.domain import ConfigError
from jobsched.work.secret_variables import explained, withheld

SECRET = {name: f"value of {name}" for name in SECRETS}
#: Removes what JOBSCHED_TASK_ENV does not name, and prints both views of the environment that is left.
LEAVES = """
import os, pathlib
from jobsched import config
from jobsched.work.secret_variables import remove, withheld
remove(withheld(os.environ, config.task_env(os.environ)))
print(*(f"{name}={value}" for name, value in os.environ.items()), sep="\\n")
print("--")
print(pathlib.Path("/proc/self/environ").read_bytes().replace(b"\\0", b"\\n").decode())
"""


def test_all_that_holds_a_secret_of_ours_is_withheld() -> None:
    assert set(withheld({**SECRET, "PATH": "/bin", "JOBSCHED_TASKS": "a"}, ())) == {
        "DATABASE_URL", "REDIS_URL", "RQ_REDIS_PASSWORD", "RQ_REDIS_URL", "SECRET_KEY", "SECRET_KEY_FALLBACKS"}


def test_what_is_not_there_need_not_be_removed() -> None:
    assert withheld({"PATH": "/bin", "REDIS_URL": ""}, ()) == ("REDIS_URL",)


def test_what_is_named_is_kept() -> None:
    assert set(SECRETS) - set(withheld(SECRET, ("DATABASE_URL", "SECRET_KEY"))) == {"DATABASE_URL", "SECRET_KEY"}


def left(*kept: str) -> tuple[str, str]:
    """What a process that was started with all secrets sees afterwards, and what others see of it."""
    env = {"A": "1", **SECRET, "DATABASE_URL_2": "a copy", "Z": "=\n=", "JOBSCHED_TASK_ENV": ",".join(kept),
           "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", LEAVES], env=env, capture_output=True, check=True, text=True)
    own, _, others = done.stdout.partition("--\n")
    return own, others


def test_removed_variables_are_gone_from_the_process() -> None:
    own, _ = left()
    assert "value of" not in own
    assert "A=1\n" in own
    assert "DATABASE_URL_2=a copy\n" in own
    assert "Z==\n=\n" in own


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="this system shows nobody's environment")
def test_removed_variables_are_gone_from_what_others_see_of_the_process() -> None:
    own, others = left("REDIS_URL")
    assert [line for line in others.splitlines() if "value of" in line] == ["REDIS_URL=value of REDIS_URL"]
    assert "REDIS_URL=value of REDIS_URL" in own
    assert "A=1\n" in others
    assert "DATABASE_URL_2=a copy\n" in others
    assert "Z==\n=\n" in others


@pytest.mark.parametrize(("raw", "kept"), [
    ("", ()), (" , ", ()), ("DATABASE_URL", ("DATABASE_URL",)),
    (" REDIS_URL ,DATABASE_URL,", ("REDIS_URL", "DATABASE_URL")),
])
def test_names_are_told_with_commas(raw: str, kept: tuple[str, ...]) -> None:
    assert load({"JOBSCHED_TASK_ENV": raw}).task_env == kept


@pytest.mark.parametrize("raw", ["DATABASE_ULR", "PATH", "*", "database_url", "DATABASE_URL REDIS_URL"])
def test_a_name_that_is_no_secret_of_ours_is_refused(raw: str) -> None:
    with pytest.raises(ConfigError, match=r"^JOBSCHED_TASK_ENV='.*': must be names of DATABASE_URL, .*, with commas$"):
        load({"JOBSCHED_TASK_ENV": raw})


def test_a_module_that_wants_a_secret_is_told_what_gives_it() -> None:
    fault = "JOBSCHED_TASKS='shop': can not be imported: KeyError: 'DATABASE_URL' (shop.py, line 3)"
    assert explained(fault, ()) == f"{fault}; tasks get DATABASE_URL only where JOBSCHED_TASK_ENV names it"
    assert explained(fault, ("DATABASE_URL",)) == fault
    assert explained("KeyError: 'SHOP_DATABASE_URL'", ()) == "KeyError: 'SHOP_DATABASE_URL'"
