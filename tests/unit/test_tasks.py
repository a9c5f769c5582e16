"""The registry of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobsched import tasks
from jobsched.domain import ConfigError
from jobsched.tasks import Run, UnknownTask, task

RUN = Run(job=7, attempt=2, site=1, user=3, execution_time=0.25)


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_tasks", {"sleep": tasks.find("sleep")})


def test_a_function_is_registered_under_its_own_name() -> None:
    @task
    def resize(payload: dict[str, Any]) -> int:
        return payload["width"] * 2

    assert "resize" in tasks.names()
    assert tasks.find("resize")({"width": 21}, RUN) == 42
    assert resize({"width": 1}) == 2  # still a plain function


def test_a_function_with_a_second_parameter_gets_the_run() -> None:
    @task(name="who")
    def function(payload: dict[str, Any], run: Run) -> str:
        return run.key

    assert tasks.find("who")({}, RUN) == "7-2"


def test_two_functions_can_not_share_a_name() -> None:
    task(name="once")(lambda payload: 1)

    with pytest.raises(ValueError, match="two tasks are named 'once'"):
        task(name="once")(lambda payload: 2)


def test_a_function_may_be_registered_again() -> None:
    def same(payload: dict[str, Any]) -> None:
        pass

    task(same)
    task(same)

    assert tasks.names().count("same") == 1


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownTask, match=r"no task 'slep'; registered are: .*sleep"):
        tasks.find("slep")


@pytest.mark.parametrize(
    ("attempt", "delay"),
    [(1, 0.5), (2, 1.0), (3, 2.0), (4, None), (9, None)],  # 0.5 * 2^(attempt - 1), three times
)
def test_the_delay_before_a_retry_doubles_until_none_is_left(attempt: int, delay: float | None) -> None:
    task(name="again", retries=3, backoff_s=0.5)(lambda payload: None)

    assert tasks.find("again").delay_before_retry(attempt) == delay


def test_without_retries_none_is_due() -> None:
    assert tasks.find("sleep").delay_before_retry(1) is None


def test_a_run_may_repeat_until_its_task_says_that_it_must_not() -> None:
    run, other = (Run(job=7, attempt=2, site=1, user=3, execution_time=0.25) for _ in range(2))
    assert run.may_repeat

    run.must_not_repeat()
    run.must_not_repeat()

    assert not run.may_repeat
    assert other.may_repeat
    assert run == other  # it is still the same start


def test_load_imports_modules_and_names_all_that_can_not_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "that_raises.py").write_text("\n\nraise ValueError('no\\ngood: redis://:hush@h/0')\n")
    (tmp_path / "that_exits.py").write_text("import sys\nsys.exit('enough')\n")
    (tmp_path / "that_is_no_python.py").write_text("def\n")
    (tmp_path / "without_words.py").write_text("class E(Exception):\n  def __str__(self): 1 / 0\nraise E\n")
    tasks.load(["json"])
    with pytest.raises(ConfigError) as raised:
        tasks.load(["json", "no_such_module", "that_raises", "that_exits", "that_is_no_python", "without_words", "a/b"])
    absent, raises, exits, no_python, wordless, path = raised.value.faults
    assert absent == ("JOBSCHED_TASKS='no_such_module': can not be imported: "
                      "ModuleNotFoundError: No module named 'no_such_module'")
    assert raises == ("JOBSCHED_TASKS='that_raises': can not be imported: "
                      f"ValueError: no good: redis://***@h/0 ({tmp_path}/that_raises.py, line 3)")
    assert exits.endswith(f"SystemExit: enough ({tmp_path}/that_exits.py, line 2)")
    assert "SyntaxError" in no_python
    assert "without_words.py, line 3" in wordless
    assert "No module named 'a/b'" in path
