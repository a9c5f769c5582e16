"""Holds the policies to their marks, and writes what came of it into docs/fairness.md and docs/fairness/.

``python -m benchmarks.marks``: exit code 1 when a mark is missed.
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
from jobsched.simulate.runs import Order, Outcome
from jobsched.staffing import plan

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURES = DOCS / "fairness.md", DOCS / "fairness"
#: What is drawn of each workload; of runs of the same workload, the first.
DRAWN = {"flood": ("tail", "time"), "heavy": ("tail",), "pareto-1.0": ("tail",), "pareto-1.5": ("bands",),
         "lognormal": ("bands",)}


def main() -> int:
    settings = load({})
    outcomes: list[Outcome] = []
    verdicts = list(marks.held(settings, Order(marks.NAME), Console(stderr=True), outcomes.append))
    write(PAGE, "marks", markdown(marks.table(verdicts)))
    write(PAGE, "runs", _runs(outcomes, settings.bands))
    _draw(outcomes, settings.bands)
    console = Console(highlight=False, width=140)
    console.print(marks.table(verdicts))
    return 0 if all(verdict.holds for verdict in verdicts) else 1


def write(page: Path, part: str, lines: Iterable[str]) -> None:
    """Put lines between the page's two comments that name the part, in place of what is there."""
    begin, end = f"<!-- {part} -->\n", f"<!-- end of {part} -->"
    before, rest = page.read_text().split(begin)
    _, after = rest.split(end)
    page.write_text("".join([before, begin, *(f"{line}\n" for line in lines), end, after]))


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
