"""``jobsched simulate``: runs what is ordered, and prints the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from jobsched.base import terminal
from jobsched.base.jsontext import dumps
from jobsched.config import Settings
from jobsched.domain import JobschedError
from jobsched.simulate import marks, report
from jobsched.simulate.runs import Outcome, Request, run

#: The width of tables that are not for a terminal.
_WIDTH = 140


class MarkMissed(JobschedError):
    """A policy misses a mark."""


def main(settings: Settings, *, as_json: bool, html: Path | None, **request_: Any) -> None:
    """Simulate a Request, and print the tables, or a JSON list with a row for each policy; write the page to ``html``.

    The workload ``marks`` stands for every run that has marks, and adds a table of the marks.
    Raises BadWorkload, MarkMissed, and JobschedError when no Redis can be started or the page can not be written.
    """
    request = Request(**request_)
    outcomes: list[Outcome] = []
    verdicts: list[marks.Verdict] = []
    if request.workload == marks.NAME:
        verdicts += marks.held(settings, request, _progress(), outcomes.append)
    else:
        outcomes.append(run(settings, request, _progress()))
    _print(settings, outcomes, verdicts, as_json=as_json)
    if html:
        _write(html, report.page(outcomes, settings.bands, [marks.table(verdicts)] if verdicts else []))
    if missed := [verdict for verdict in verdicts if not verdict.holds]:
        raise MarkMissed(f"{len(missed)} of {len(verdicts)} marks are not reached")


def _print(settings: Settings, outcomes: Sequence[Outcome], verdicts: Sequence[marks.Verdict], *,
           as_json: bool) -> None:
    console = terminal.console(_WIDTH)
    if as_json:
        rows = [report.row(result) | ({"workload": outcome.load.name} if verdicts else {})
                for outcome in outcomes for result in outcome.results]
        console.out(dumps(rows, indent=1))
        return
    for outcome in outcomes:
        for table in report.tables(outcome, settings.bands):
            console.print(table)
    if verdicts:
        console.print(marks.table(verdicts))


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise JobschedError(f"{path} can not be written: {error.strerror}") from error


def _progress() -> Console:
    return Console(stderr=True)
