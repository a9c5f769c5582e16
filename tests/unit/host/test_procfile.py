"""What a Procfile may hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobsched.host.supervise import ProcfileError, Program, read_procfile


def procfile(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "Procfile"
    path.write_text(text)
    return path


def test_each_line_names_a_program_in_order(tmp_path: Path) -> None:
    path = procfile(tmp_path, "# all of it\nweb: gunicorn app:app --bind :$PORT\n\nworker-2:  python worker.py\n")
    assert read_procfile(path) == (
        Program("web", ("/bin/sh", "-c", "exec gunicorn app:app --bind :$PORT")),
        Program("worker-2", ("/bin/sh", "-c", "exec python worker.py")),
    )


@pytest.mark.parametrize("line", ["web", "web:", "web gunicorn", ": gunicorn", "a b: gunicorn", "first: again"])
def test_a_line_that_is_not_a_new_name_and_a_command_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    with pytest.raises(ProcfileError, match="line 2: must be a new name"):
        read_procfile(procfile(tmp_path, f"first: true\n{line}\n"))


def test_a_missing_procfile_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcfileError, match=f"{tmp_path}/Procfile: can not be read: No such file"):
        read_procfile(tmp_path / "Procfile")
