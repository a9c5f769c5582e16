"""The commands without a server that they need, and with impossible arguments."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from jobsched.cli import main
from jobsched.host.embedded import free_port

NO_DATABASE = "jobsched: the database can not be used: unable to open database file"


@pytest.mark.parametrize(("arguments", "says"), [
    (["policy"], NO_DATABASE),
    (["policy", "fair"], NO_DATABASE),
    (["simulate", "--history", "2026-11-02T08:00", "2026-11-03"], NO_DATABASE),
    (["plan"], "jobsched: the load is not known: Redis does not answer"),
    (["repair"], "jobsched: Redis does not answer"),
])
def test_a_server_that_is_away_is_told_in_a_sentence(arguments: list[str], says: str, tmp_path: Path) -> None:
    env = {"JOBSCHED_HOME": str(tmp_path / "none"), "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
           "DATABASE_URL": f"sqlite:///{tmp_path}/none/at/all.db"}
    said = CliRunner(env=env).invoke(main, arguments)
    assert said.exit_code == 1
    assert said.stderr.startswith(says)
    assert said.stderr.count("\n") == 1


def test_a_database_without_tables_is_told_in_a_sentence(tmp_path: Path) -> None:
    env = {"JOBSCHED_HOME": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path}/empty.db"}
    said = CliRunner(env=env).invoke(main, ["policy"])
    assert (said.exit_code, said.stderr) == (1, "jobsched: the database can not be used: no such table: controls\n")


def test_a_folder_that_is_no_more_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    said = CliRunner(env={"JOBSCHED_HOME": str(tmp_path)}).invoke(main, ["up"])

    assert said.exit_code == 1
    assert said.stderr == "jobsched: the current folder no longer exists; change to one that does\n"


@pytest.mark.parametrize("option", [["plan", "--wait"], ["simulate", "--load"], ["simulate", "--overhead-ms"]])
@pytest.mark.parametrize("number", ["nan", "inf", "1e400"])
def test_a_number_that_is_not_finite_is_refused(option: list[str], number: str) -> None:
    said = CliRunner().invoke(main, [*option, number])
    assert said.exit_code == 2
    assert f"'{number}' is not a finite number." in said.stderr


def test_a_page_that_can_not_be_written_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    for page in (tmp_path / "none" / "page.html", tmp_path):
        said = CliRunner().invoke(main, ["simulate", "demo", "--html", str(page)])
        assert said.exit_code == 2
        assert str(page) in said.stderr
        assert said.stdout == ""


def test_a_workload_beside_history_is_refused() -> None:
    said = CliRunner().invoke(main, ["simulate", "flood", "--history", "2026-11-02T08:00", "2026-11-03"])
    assert said.exit_code == 2
    assert "either WORKLOAD or --history" in said.stderr
