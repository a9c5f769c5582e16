"""A file of JSON lines becomes a workload, or is refused with the line, the field, and what would be right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jobsched.simulate.files import from_file
from jobsched.simulate.workloads import BadWorkload
from tests.support import BANDS

JOB = {"at": 1, "execution_time": 0.5, "site": 1, "user": 1}


def test_a_file_is_read_in_any_order_of_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    rows = [{"at": 2.5, "execution_time": 0.5, "site": 1, "user": 7}, {},
            {"at": 1, "execution_time": 0.002, "length": 0.02, "site": 2, "user": 8}]
    path.write_text("\n".join(json.dumps(row) if row else "" for row in rows))

    load = from_file(path, 3, BANDS)

    assert (load.name, load.workers, list(load.at), list(load.site), list(load.user)) == ("mine", 3, [1, 2.5], [2, 1],
                                                                                         [8, 7])
    assert (list(load.length), list(load.estimate)) == ([0.02, 0.5], [0.002, 0.5])


@pytest.mark.parametrize(("line", "says"), [
    ("no json", "is not JSON"),
    ("[" * 100_000, "is not JSON"),
    ("[]", "must be an object with at, execution_time, length, site, user; got []"),
    ("null", "must be an object with at, execution_time, length, site, user; got null"),
    ("{}", "at is missing"),
    ('{"at": 1, "execution_time": 0.5, "site": 1}', "user is missing"),
])
def test_a_line_that_is_no_job_is_named(tmp_path: Path, line: str, says: str) -> None:
    assert refusal(tmp_path, line) == f"line 2: {says}"


@pytest.mark.parametrize(("fields", "says"), [
    ({"at": "1"}, 'at must be seconds from the start, 0 to 100,000,000; got "1"'),
    ({"at": -1}, "at must be seconds from the start, 0 to 100,000,000; got -1"),
    ({"at": float("nan")}, "at must be seconds from the start, 0 to 100,000,000; got NaN"),
    ({"at": True}, "at must be seconds from the start, 0 to 100,000,000; got true"),
    ({"at": 10**400}, f"at must be seconds from the start, 0 to 100,000,000; got 1{'0' * 39}..."),
    ({"execution_time": 0}, "execution_time must be seconds, 0.000001 to 10 (the last band ends there); got 0"),
    ({"execution_time": 11}, "execution_time must be seconds, 0.000001 to 10 (the last band ends there); got 11"),
    ({"length": float("inf")}, "length must be seconds, 0.000001 to 1000 (100 times the last band); got Infinity"),
    ({"length": 1e9}, "length must be seconds, 0.000001 to 1000 (100 times the last band); got 1000000000.0"),
    ({"length": None}, "length must be seconds, 0.000001 to 1000 (100 times the last band); got null"),
    ({"site": 1.5}, "site must be a whole number of 64 bits from 0; got 1.5"),
    ({"user": 2**63}, "user must be a whole number of 64 bits from 0; got 9223372036854775808"),
    ({"user": "Ada"}, 'user must be a whole number of 64 bits from 0; got "Ada"'),
    ({"lenght": 1}, 'there is no field "lenght", only at, execution_time, length, site, user'),
])
def test_a_field_that_is_wrong_is_named_with_its_line(tmp_path: Path, fields: Mapping[str, Any], says: str) -> None:
    assert refusal(tmp_path, json.dumps(JOB | fields)) == f"line 2: {says}"


@pytest.mark.parametrize("content", ["", "\n\n  \n"])
def test_a_file_without_jobs_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(content)

    with pytest.raises(BadWorkload) as refused:
        from_file(path, 1, BANDS)
    assert str(refused.value) == f"no jobs in {path}"


def test_a_file_that_can_not_be_read_is_named_with_the_cause(tmp_path: Path) -> None:
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(b"\xe4")

    for path, says in ((tmp_path / "none.jsonl", "No such file or directory"), (latin, "it is not text in UTF-8")):
        with pytest.raises(BadWorkload) as refused:
            from_file(path, 1, BANDS)
        assert str(refused.value) == f"{path} can not be read: {says}"


def refusal(directory: Path, line: str) -> str:
    """What is said of a file whose second line is ``line``, without its path."""
    path = directory / "mine.jsonl"
    path.write_text(f"{json.dumps(JOB)}\n{line}\n")
    with pytest.raises(BadWorkload) as refused:
        from_file(path, 1, BANDS)
    return str(refused.value).removeprefix(f"{path} ")
