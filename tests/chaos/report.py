"""The report that is printed at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.audit import Change
from tests.chaos.faults import Faults, Spell
from tests.chaos.load import Clients
from tests.chaos.notes import Notes
from tests.chaos.proxy import Proxy
from tests.chaos.verdict import Rerun, Verdict


@dataclass(frozen=True)
class Outcome:
    """What one run came to: figures by name, and a line for each thing that must not be."""

    figures: dict[str, Any]
    failures: list[str]


def spread(seconds: Sequence[float]) -> dict[str, float] | None:
    """The count, the median and the greatest of some times; None without any."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return {"n": len(ordered), "p50": round(ordered[len(ordered) // 2], 2), "max": round(ordered[-1], 2)}


def fault_figures(faults: Faults, redis_proxy: Proxy, clients: Clients) -> dict[str, Any]:
    """What was broken, and what clients saw of it."""
    return {
        "faults": {**dict(sorted(faults.counts.items())), "Redis replies lost": redis_proxy.counts["replies lost"]},
        "kills": len(faults.kills),
        "outages": faults.outages,
        "requests": len(clients.requests),
        "requests that were repeated": sum(request.tries > len(request.answers) for request in clients.requests),
        "requests never answered": sum(not request.answers for request in clients.requests),
        "errors that clients saw": dict(sorted(clients.errors.items())),
    }


def births(faults: Faults) -> dict[str, Any]:
    """By role, how long killed processes took to be born again."""
    return {role: spread(times) for role, times in sorted(faults.back_s.items())}


def table(columns: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The figures of each column side by side, one line each; those of a group are indented below its name."""
    flat = {name: _flat(figures) for name, figures in columns.items()}
    labels = list(dict.fromkeys(label for figures in flat.values() for label in figures))
    width = max(map(len, labels))
    text = [" " * width + "".join(f"{name:>24}" for name in flat)] if len(flat) > 1 else []
    for label in labels:
        cells = "".join(f"{figures.get(label, '-'):>24}" for figures in flat.values())
        text.append(f"{label:<{width}}{cells}".rstrip())
    return text + [f"{name}: {item}" for figures in columns.values() for name, items in figures.items()
                   if isinstance(items, list) for item in items]


def _flat(figures: Mapping[str, Any], indent: str = "") -> dict[str, str]:
    rows: dict[str, str] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping) and set(value) == {"n", "p50", "max"}:
            rows[indent + name] = f"p50 {value['p50']:g} max {value['max']:g}"
        elif isinstance(value, Mapping):
            rows |= {indent + name + ":": "", **_flat(value, indent + "    ")}
        elif not isinstance(value, list):
            rows[indent + name] = "-" if value is None else str(value)
    return rows


def slowest(reruns: Sequence[Rerun], spells: Sequence[Spell], count: int = 3) -> list[str]:
    """The slowest reruns, each with the faults that lasted or happened meanwhile."""
    text = []
    for rerun in reruns[:count]:
        began, ended = rerun.kill.at, rerun.kill.at + rerun.seconds
        meanwhile = [f"{spell.what} {spell.began - began:+.1f}..{spell.ended - began:+.1f}" for spell in spells
                     if spell.began < ended and spell.ended > began]
        free = "?" if rerun.free_s is None else f"{rerun.free_s:.1f}"
        text.append(f"job {rerun.job}: {rerun.seconds:.1f} s (free after {free} s) after kill -9 {rerun.kill.role} at "
                    f"{began:.3f}; meanwhile: {', '.join(meanwhile) or 'nothing'}")
    return text


def histories(verdict: Verdict, history: Mapping[int, Sequence[Change]], notes: Notes) -> list[str]:
    """Each violation, with what is known of its job in order of time."""
    text = []
    for job, what in verdict.violations:
        text.append(f"VIOLATION job {job}: {what}" if job is not None else f"VIOLATION {what}")
        events = [(change.at, f"SQL    {change.was} -> {change.became}, attempt {change.attempt}, slice {change.slice}")
                  for change in history.get(job or 0, ())]
        events += [(note.at, f"task   {note.event}, attempt {note.attempt}, process {note.pid}")
                   for note in notes.by_job.get(str(job), ())]
        text += [f"    {at:.3f}  {event}" for at, event in sorted(events)]
    return text
