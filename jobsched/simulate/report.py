"""Formats results: tables, rows for JSON, and a page that needs no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from jobsched.domain import Bands
from jobsched.simulate.measures import CURVE, Result, Spread
from jobsched.simulate.plots import Chart, Line
from jobsched.simulate.runs import Outcome
from jobsched.simulate.workloads import Workload
from jobsched.staffing import plan


def row(result: Result) -> dict[str, Any]:
    """A result as flat numbers for JSON; times are in seconds."""
    numbers: dict[str, Any] = {"policy": result.policy, "jobs": result.slowdown.count}
    numbers |= _flat("", "slowdown", result.slowdown) | _flat("", "wait_s", result.wait_s)
    numbers |= _flat("quiet_", "slowdown", result.quiet_slowdown) | _flat("quiet_", "wait_s", result.quiet_wait_s)
    numbers |= {"jain_1s": result.jain_1s, "max_passed_over_s": result.max_passed_over_s,
                "makespan_s": result.makespan_s, "gain": result.gain, "left_waiting": result.left_waiting}
    for group, told in result.told.items():
        who = "" if group == "all" else f"{group}_"
        numbers |= {f"{who}told": told.looks, f"{who}p50_held": told.p50_held, f"{who}p90_held": told.p90_held}
    numbers["bands"] = {
        band: {"jobs": spread.count} | _flat("", "slowdown", spread) | _flat("", "wait_s", result.wait_s_by_band[band])
        for band, spread in result.slowdown_by_band.items()
    }
    return numbers


def _flat(who: str, what: str, spread: Spread) -> dict[str, float]:
    return {f"{who}{which}_{what}": getattr(spread, which) for which in ("mean", "p50", "p99", "max")}


def tables(outcome: Outcome, bands: Bands) -> list[Table]:
    """The results for a terminal: slowdown and fairness, waits, forecasts of starts, slowdown by band."""
    told = [_told(outcome.results)] if any(result.told for result in outcome.results) else []
    return [_slowdowns(outcome), _waits(outcome.results), *told, _by_band(outcome.results, bands)]


def _slowdowns(outcome: Outcome) -> Table:
    quiet, results = bool(outcome.load.busy), outcome.results
    workers = f"workers: {plan.told(outcome.house.slots)}"
    title = f"{headline(outcome.load)}\n{workers}\nslowdown (1 is: never waited) and fairness"
    calm_columns = ("quiet mean", "quiet p99", "quiet max") if quiet else ()
    table = _table(title, "mean", "p50", "p99", "max", *calm_columns, "Jain 1 s", "passed over")
    for result in results:
        spread, calm = result.slowdown, result.quiet_slowdown
        numbers = [spread.mean, spread.p50, spread.p99, spread.max]
        numbers += [calm.mean, calm.p99, calm.max] if quiet else []
        evenness = "-" if result.jain_1s is None else f"{result.jain_1s:.3f}"
        table.add_row(result.policy, *map(number, numbers), evenness, seconds(result.max_passed_over_s))
    return table


def _waits(results: Sequence[Result]) -> Table:
    table = _table("wait", "mean", "p50", "p99", "max", "quiet mean", "quiet p99", "all done after")
    for result in results:
        spread, calm = result.wait_s, result.quiet_wait_s
        times = [spread.mean, spread.p50, spread.p99, spread.max, calm.mean, calm.p99, result.makespan_s]
        table.add_row(result.policy, *map(seconds, times))
    return table


def _told(results: Sequence[Result]) -> Table:
    """How often the forecasts of starts held: each p90 should hold for nine in ten."""
    groups = ("all", "quiet", "board", "queue", "first", "later")
    titles = ("p90 held", "of quiet sites", "on the board", "in a queue", "at first", "later")
    table = _table("when it will start: how often that was kept", "told", "p50 held", *titles)
    for result in results:
        if result.told:
            every = result.told["all"]
            held = [f"{result.told[group].p90_held:.1%}" if group in result.told else "-" for group in groups]
            table.add_row(result.policy, f"{every.looks:,}", f"{every.p50_held:.1%}", *held)
    return table


def _by_band(results: Sequence[Result], bands: Bands) -> Table:
    seen = [band for band in bands if any(band.name in result.slowdown_by_band for result in results)]
    table = _table("slowdown by band: mean / p99", *(f"to {band.label}" for band in seen))
    for result in results:
        spreads = [result.slowdown_by_band[band.name] for band in seen]
        table.add_row(result.policy, *(f"{number(spread.mean)} / {number(spread.p99)}" for spread in spreads))
    return table


def headline(load: Workload) -> str:
    """What was simulated, in a line."""
    return f"{load.name}: {len(load):,} jobs of {len(load.sites)} sites, {load.workers} workers, load {load.load:.2f}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("policy", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def number(value: float) -> str:
    """A number with about three digits."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value >= 100 else f"{value:.2f}"


def seconds(value: float) -> str:
    """A duration with about three digits, in the unit that fits."""
    if value < 1e-9:  # the rounding of sums
        return "0 s"
    for limit, factor, unit in ((0.001, 1e6, "µs"), (1.0, 1e3, "ms")):
        if value < limit:
            return f"{value * factor:.3g} {unit}"
    return f"{value:,.0f} s" if value >= 1000 else f"{value:.3g} s"


# The page

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } p { margin: .2rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1.5rem 0; } figcaption { font-weight: 600; } svg { max-width: 100%; height: auto; }
.scroll { overflow-x: auto; }
"""


def page(outcomes: Iterable[Outcome], bands: Bands, first: Sequence[Table] = ()) -> str:
    """A page in one file: the ``first`` tables, then tables and plots for each workload."""
    body = "".join(map(_html, first)) + "".join(_section(outcome, bands) for outcome in outcomes)
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>jobsched simulate</title>'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
            f"<body><h1>jobsched simulate</h1>\n{body}</body></html>\n")


def _section(outcome: Outcome, bands: Bands) -> str:
    tables_ = "".join(f'<div class="scroll">{_html(table)}</div>' for table in tables(outcome, bands))
    return f"<section>{tables_}{''.join(chart.figure() for chart in charts(outcome, bands).values())}</section>\n"


def charts(outcome: Outcome, bands: Bands) -> Mapping[str, Chart]:
    """The plots of a workload, by a short name."""
    load, results = outcome.load, outcome.results
    seen = [band for band in bands if any(band.name in result.slowdown_by_band for result in results)]
    who = "quiet sites" if load.busy else "all sites"
    span = load.at[-1] if len(load) else 0.0
    return {
        "tail": Chart(
            f"{load.name}: the share of jobs ({who}) with at least that slowdown", "slowdown", "share of jobs",
            [Line(r.policy, [(x, 1 - q) for x, q in zip(r.quiet_slowdown.curve, CURVE, strict=False)])
             for r in results],
        ),
        "time": Chart(
            f"{load.name}: mean slowdown ({who}) by time of arrival", "seconds", "mean slowdown",
            [Line(r.policy, [((i + 0.5) * span / len(r.timeline), y) for i, y in enumerate(r.timeline)
                             if y is not None]) for r in results],
            x_log=False,
        ),
        "bands": Chart(
            f"{load.name}: mean slowdown by band", "band's bound in seconds", "mean slowdown",
            [Line(r.policy, [(band.bound_s, r.slowdown_by_band[band.name].mean) for band in seen])
             for r in results],
        ),
    }


def _html(table: Table) -> str:
    head = "".join(f"<th>{escape(str(column.header))}</th>" for column in table.columns)
    cells = zip(*(column.cells for column in table.columns), strict=True)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells_)}</tr>" for cells_ in cells)
    title, *more = str(table.title).split("\n")
    above = f"<h2>{escape(title)}</h2>" + "".join(f"<p>{escape(line)}</p>" for line in more)
    return f"{above}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
