"""Simulates the marks of the policies, and writes the results into docs/fairness*.md and docs/fairness/.

``python -m benchmarks.marks`` exits with 1 if a mark is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jobsched.config import load
from jobsched.domain import Bands
from jobsched.simulate import marks, report
from jobsched.simulate.runs import Outcome, Request
from jobsched.staffing import plan

DOCS = Path(__file__).parents[1] / "docs"
PAGE, APPENDIX, PICTURES = DOCS / "fairness.md", DOCS / "fairness-appendix.md", DOCS / "fairness"
#: The pictures of each workload; if it was run more than once, those of its first run.
DRAWN = {"flood": ("tail", "time"), "heavy": ("tail",), "pareto-1.0": ("tail",), "pareto-1.5": ("bands",),
         "lognormal": ("bands",)}


def main() -> int:
    settings = load({})
    outcomes: list[Outcome] = []
    verdicts = list(marks.held(settings, Request(marks.NAME), Console(stderr=True), outcomes.append))
    write(PAGE, "summary", markdown(beside_one_queue(outcomes)))
    write(APPENDIX, "marks", markdown(marks.table(verdicts)))
    write(APPENDIX, "runs", _runs(outcomes, settings.bands))
    _draw(outcomes, settings.bands)
    console = Console(highlight=False, width=140)
    console.print(marks.table(verdicts))
    return 0 if all(verdict.holds for verdict in verdicts) else 1


def write(page: Path, part: str, lines: Iterable[str]) -> None:
    """Replace the lines between the page's two comments that name the part."""
    begin, end = f"<!-- {part} -->\n", f"<!-- end of {part} -->"
    before, rest = page.read_text().split(begin)
    _, after = rest.split(end)
    page.write_text("".join([before, begin, *(f"{line}\n" for line in lines), end, after]))


def beside_one_queue(outcomes: Sequence[Outcome]) -> Table:
    """The default policy beside one queue for all jobs, on every workload that was run with both.

    Where a site makes trouble on purpose, the slowdowns are those of the other sites.
    """
    table = Table("traffic")
    for column in ("mean slowdown: one queue", "`balanced`", "p99: one queue", "`balanced`",
                   "longest passed over: one queue", "`balanced`"):
        table.add_column(column, justify="right")
    for outcome in outcomes:
        pair = [outcome.by_policy[name] for name in ("one queue", "balanced") if name in outcome.by_policy]
        if len(pair) == 2:
            table.add_row(f"`{outcome.load.name}`", *(report.number(result.quiet_slowdown.mean) for result in pair),
                          *(report.number(result.quiet_slowdown.p99) for result in pair),
                          *(report.seconds(result.max_passed_over_s) for result in pair))
    return table


def _runs(outcomes: Sequence[Outcome], bands: Bands) -> Iterator[str]:
    for outcome in outcomes:
        single = " (one lane)" if len(outcome.house.bands) == 1 else ""
        yield from ("", f"**{report.headline(outcome.load)}**{single}; workers: {plan.told(outcome.house.slots)}", "")
        yield from markdown(report.tables(outcome, bands)[0])


def markdown(table: Table) -> Iterator[str]:
    """A table's lines in Markdown."""
    yield _row([str(column.header) for column in table.columns])
    yield _row(["---:" if column.justify == "right" else "---" for column in table.columns])
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        yield _row([str(cell) for cell in cells])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _draw(outcomes: Sequence[Outcome], bands: Bands) -> None:
    PICTURES.mkdir(exist_ok=True)
    left = dict(DRAWN)
    for outcome in outcomes:
        charts = report.charts(outcome, bands)
        for name in left.pop(outcome.load.name, ()):
            (PICTURES / f"{outcome.load.name}-{name}.svg").write_text(charts[name].file())


if __name__ == "__main__":
    sys.exit(main())
