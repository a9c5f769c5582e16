"""What the benchmarks compute and write."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from benchmarks import fair, marks
from benchmarks.recorded import Run, overhead_s
from jobsched.config import load
from jobsched.simulate.engine import Trace
from jobsched.simulate.marks import Mark, Verdict
from jobsched.simulate.runs import Outcome, Request, run
from jobsched.simulate.workloads import Arrival, workload


def test_half_of_the_flood_is_dropped_at_once_and_half_comes_while_it_runs_off() -> None:
    arrivals = fair.draw(Random(1), 300)

    dropped = [job for job in arrivals if job.site == 1]
    quiet = [job for job in arrivals if job.site != 1]
    assert {job.at for job in dropped} == {0.0}
    assert 0 < min(job.at for job in quiet) < max(job.at for job in quiet) < 300
    for jobs in (dropped, quiet):
        assert sum(job.length for job in jobs) == pytest.approx(300 * fair.WORKERS / 2, rel=0.1)


def test_a_slice_costs_what_the_workers_time_holds_besides_their_jobs() -> None:
    # Two workers, four slices of one job of 1 s at 0.5, 0.6, 2.0 and 2.2 s; from 2.2 s on nothing waits. Until then
    # the workers had 2 * 1.7 s, in which the jobs took 1 + 1 + 0.2 s, and three slices had begun
    starts = [0.5, 0.6, 2.0, 2.2]
    load = workload("case", 2, [Arrival(0.0, 1, 1, 1.0, 1.0)] * 4)
    trace = Trace("any", array("d", starts), array("d", [start + 1 for start in starts]))

    assert overhead_s(Run(load, trace, ("a", "b", "c", "d"))) == pytest.approx((3.4 - 2.2) / 3)


def test_only_what_is_between_the_two_comments_is_written_anew(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- marks -->\nold\n<!-- end of marks -->\nafter\n")

    marks.write(page, "marks", ["| new |"])

    assert page.read_text() == "before\n<!-- marks -->\n| new |\n<!-- end of marks -->\nafter\n"
    marks.write(page, "marks", [])
    assert page.read_text() == "before\n<!-- marks -->\n<!-- end of marks -->\nafter\n"


def test_make_marks_writes_the_page_the_appendix_and_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = run(load({}), Request("flood", policies=("balanced",), jobs=20, redis="fake"), Console(quiet=True))

    def held(settings: object, request: object, console: object,
             show: Callable[[Outcome], object]) -> Iterator[Verdict]:
        show(outcome)
        yield Verdict("flood", Mark("jobs", lambda _: 20, at_least=1), 20)

    for name in ("PAGE", "APPENDIX"):
        copy = tmp_path / getattr(marks, name).name
        copy.write_text(getattr(marks, name).read_text())
        monkeypatch.setattr(marks, name, copy)
    monkeypatch.setattr(marks, "PICTURES", tmp_path / "pictures")
    monkeypatch.setattr(marks.marks, "held", held)

    assert marks.main() == 0

    [row] = re.findall(r"<!-- summary -->\n\| traffic .*\n\| --- .*\n(.*)\n<!-- end of summary", marks.PAGE.read_text())
    quiet = outcome.by_policy["balanced"].quiet_slowdown
    assert row.startswith("| `flood` | ")
    assert f" | {quiet.mean:.2f} | " in row
    assert "| flood | jobs | at least 1 | 20 | yes |" in marks.APPENDIX.read_text()
    assert "**flood: 40 jobs of " in marks.APPENDIX.read_text()
    assert {path.name for path in marks.PICTURES.iterdir()} == {"flood-tail.svg", "flood-time.svg"}
