"""What is printed at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.chaos.audit import Change
from tests.chaos.faults import Spell
from tests.chaos.notes import Notes
from tests.chaos.verdict import Rerun, Verdict


def spread(seconds: Sequence[float]) -> dict[str, float] | None:
    """The count, the median and the greatest of some times; None without any."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return {"n": len(ordered), "p50": round(ordered[len(ordered) // 2], 2), "max": round(ordered[-1], 2)}


def lines(figures: Mapping[str, Any]) -> list[str]:
    """The figures, one line each; lines of a group are indented below its name."""
    text = []
    for name, value in figures.items():
        if isinstance(value, Mapping) and not {"n", "p50", "max"} >= set(value):
            text.append(f"{name}:")
            text += [f"    {line}" for line in lines(value)]
        elif isinstance(value, Mapping):
            text.append(f"{name:<40} p50 {value['p50']:g}  max {value['max']:g}  (n {value['n']})")
        elif isinstance(value, list):
            text += [f"{name}:", *(f"    {item}" for item in value)]
        else:
            text.append(f"{name:<40} {'-' if value is None else value}")
    return text


def slowest(reruns: Sequence[Rerun], spells: Sequence[Spell], count: int = 3) -> list[str]:
    """The slowest reruns, each with the faults that lasted or happened meanwhile."""
    text = []
    for rerun in reruns[:count]:
        began, ended = rerun.kill.at, rerun.kill.at + rerun.seconds
        meanwhile = [f"{spell.what} {spell.began - began:+.1f}..{spell.ended - began:+.1f}" for spell in spells
                     if spell.began < ended and spell.ended > began]
        text.append(f"job {rerun.job}: {rerun.seconds:.1f} s after kill -9 {rerun.kill.role} at {began:.3f}; "
                    f"meanwhile: {', '.join(meanwhile) or 'nothing'}")
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
