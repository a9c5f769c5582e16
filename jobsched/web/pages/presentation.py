"""Formats values for people: durations, moments, counts."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from markupsafe import Markup

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def duration(seconds: float | None) -> str:
    """A length of time: ``450 µs``, ``420 ms``, ``9.89 s``, ``3 min 5 s``, ``2 d 4 h``; a dash for None.

    Whole seconds given as an int stay whole.
    """
    if seconds is None:
        return "\u2013"
    if isinstance(seconds, int) or seconds >= 59.95:
        return _coarse(round(seconds), parts=2)
    if seconds < 0.0009995:
        return f"{seconds * 1e6:.3g} µs" if seconds > 0 else "0 s"
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s"


def ago(moment: datetime, now: datetime) -> str:
    """Where a moment lies from now: ``now``, ``12 s ago``, ``3 h ago``, ``in 5 min``."""
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 1:
        return "now"
    text = _coarse(int(abs(seconds)), parts=1)
    return f"{text} ago" if seconds > 0 else f"in {text}"


def when(moment: datetime | str | None, now: datetime) -> Markup:
    """A ``<time>`` that reads relative to now, and holds the exact moment in its title; a dash for None."""
    at = parse(moment)
    if at is None:
        return Markup("\u2013")
    exact = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(exact, ago(at, now))


def exactly(moment: datetime | str | None) -> Markup:
    """A ``<time>`` with the date and the time of day in UTC; a dash for None."""
    at = parse(moment)
    if at is None:
        return Markup("\u2013")
    exact = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{0}" title="{0}">{1:%Y-%m-%d %H:%M:%S}</time>').format(exact, at)


def parse(moment: datetime | str | None) -> datetime | None:
    """A moment in UTC from what the API answers (ISO 8601) or what SQL holds; None for None and for nonsense."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
        except ValueError:
            return None
    return moment.astimezone(timezone.utc) if moment else None


def count(number: float | None) -> str:
    """A whole number with its thousands set apart; a dash for None."""
    return "\u2013" if number is None else f"{number:,.0f}".replace(",", "\u202f")


def part(value: float, digits: int = 2) -> str:
    """A signed part of a score."""
    value = round(value, digits) + 0.0  # no minus before a zero
    return f"{value:+.{digits}f}".replace("-", "\u2212")


def whole(seconds: float | None) -> int | None:
    """Whole seconds, for what still counts up: digits that change with every look are noise."""
    return None if seconds is None else int(seconds)


def pretty(value: Any) -> str:
    """JSON on several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def _coarse(seconds: int, parts: int) -> str:
    """The largest units of a whole number of seconds."""
    texts: list[str] = []
    for unit, size in _UNITS:
        whole, seconds = divmod(seconds, size)
        if whole or texts:
            texts.append(f"{whole} {unit}")
        if len(texts) == parts:
            break
    while len(texts) > 1 and texts[-1].startswith("0 "):
        texts.pop()
    return " ".join(texts) or "0 s"
