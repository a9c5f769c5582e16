"""Task modules that cannot be imported are faults of the settings: one sentence each, with all other faults."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobsched.domain import ConfigError
from jobsched.work import loading
from tests.acceptance.up import BARE, ROOT

#: What a module may do instead of being imported, and what is said of it.
BAD = {
    "absent": (None, "No module named 'absent'"),
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "misspelled": ("def f(:", "SyntaxError"),
    "leaves": ("raise SystemExit(3)", "SystemExit: 3"),
    "ends": ("import os; os._exit(0)", "ends the process that imports it, with exit code 0"),
    "ends_badly": ("import os; os._exit(7)", "ends the process that imports it, with exit code 7"),
    "is_killed": ("import os; os.kill(os.getpid(), 9)", "ends the process that imports it, with SIGKILL"),
}


def environment(tmp_path: Path, tasks: str, **more: str) -> dict[str, str]:
    for name, (text, _) in BAD.items():
        if text:
            (tmp_path / f"{name}.py").write_text(text)
    return {**BARE, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "JOBSCHED_TASKS": tasks,
            "JOBSCHED_HOME": str(tmp_path / "home"), **more}


@pytest.mark.parametrize("name", BAD)
def test_a_module_that_is_not_imported_is_told_in_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loading.load_and_try_tasks(environment(tmp_path, name))
    [fault] = caught.value.faults
    assert fault.startswith("JOBSCHED_TASKS")
    assert repr(name) in fault
    assert BAD[name][1] in fault
    assert "\n" not in fault


def test_a_module_that_takes_for_ever_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "IMPORT_S", 3.0)
    (tmp_path / "sleeps.py").write_text("import time; time.sleep(600)")
    with pytest.raises(ConfigError) as caught:
        loading.load_and_try_tasks(environment(tmp_path, "sleeps"))
    assert list(caught.value.faults) == ["JOBSCHED_TASKS='sleeps': is not imported within 3 s"]


def test_what_came_before_a_module_that_ends_the_process_is_told_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loading.load_and_try_tasks(environment(tmp_path, "absent,ends"))
    assert len(caught.value.faults) == 2


def test_what_a_module_prints_and_starts_does_not_keep_it_from_being_imported(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "import threading, time\nprint('fault of nobody')\nthreading.Thread(target=time.sleep, args=[600]).start()")
    assert loading.load_and_try_tasks(environment(tmp_path, "loud")).tasks == ("loud",)


@pytest.mark.parametrize("name", ["up", "web", "worker", "dispatcher", "scheduler"])
def test_all_faults_are_told_together_and_nothing_starts(tmp_path: Path, name: str) -> None:
    env = environment(tmp_path, "absent,raises", REDIS_URL="http://127.0.0.1", DATABASE_URL="mysql://me:secret@x/y",
                      PORT="web", JOBSCHED_WORKERS="0", JOBSCHED_POLICY="best")
    done = subprocess.run([sys.executable, "-m", "jobsched", name], env=env, cwd=tmp_path, capture_output=True,
                          text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    wrong = ["REDIS_URL", "DATABASE_URL", "PORT", "JOBSCHED_WORKERS", "JOBSCHED_POLICY"]
    wrong += ["JOBSCHED_TASKS"] * 2 if name in ("up", "web", "worker") else []
    assert sorted(line.partition("=")[0] for line in done.stderr.splitlines()) == sorted(wrong)
    assert "secret" not in done.stderr
    assert not (tmp_path / "home").exists()
