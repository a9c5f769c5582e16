"""Samples over time as one SVG: a panel for each kind of thing, a line for each thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, COLUMNS = 420, 200, 2
LEFT, RIGHT, TOP, BOTTOM = 48, 110, 28, 24
COLOURS = ("#0b6e99", "#c4561a", "#3a7d34", "#8a4fa3", "#a8871b", "#b3254b", "#4a5568", "#1f9e89", "#6b4423", "#5c6bc0",
           "#7a7a7a")

Samples = Sequence[Mapping[str, float]]
#: The panels: a title, and the endings and beginnings of the names that belong there.
PANELS = (
    ("memory of each process, MB", " MB", "", "Redis"),
    ("open files of each process", " files", "", ""),
    ("memory of Redis, MB", " MB", "Redis", ""),
    ("keys in Redis", " keys", "", ""),
    ("connections to the database", " connections", "", ""),
)


def draw(title: str, samples: Samples) -> str:
    """The SVG's text. Every panel's axis starts at zero, so that growth looks as large as it is."""
    rows = -(-len(PANELS) // COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        "<style>text {font: 10px sans-serif} .title {font: bold 13px sans-serif} .label {font-weight: bold}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" class="title">{escape(title)}</text>',
    ]
    for number, (label, ending, beginning, without) in enumerate(PANELS):
        names = [name for name in samples[-1] if name.endswith(ending) and name.startswith(beginning)
                 and not (without and name.startswith(without))]
        x, y = number % COLUMNS * WIDTH, number // COLUMNS * HEIGHT + 30
        parts += [f'<g transform="translate({x} {y})">', *_panel(label, names, ending, samples), "</g>"]
    return "\n".join([*parts, "</svg>\n"])


def _panel(label: str, names: Sequence[str], ending: str, samples: Samples) -> list[str]:
    last_s = samples[-1]["seconds"] or 1.0
    top = max((row[name] for row in samples for name in names if name in row), default=1.0) * 1.1 or 1.0
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [f'<text x="{LEFT}" y="{TOP - 8}" class="label">{escape(label)}</text>']
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * (bottom - TOP)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{share * top:.3g}</text>')
    parts.append(f'<text x="{LEFT}" y="{bottom + 14}">0</text>')
    parts.append(f'<text x="{right}" y="{bottom + 14}" text-anchor="end">{last_s / 60:.3g} min</text>')
    for number, name in enumerate(names):
        points = " ".join(
            f"{LEFT + row['seconds'] / last_s * (right - LEFT):.1f},{bottom - row[name] / top * (bottom - TOP):.1f}"
            for row in samples if name in row)
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
        short = name.removesuffix(ending) or name
        parts.append(f'<text x="{right + 6}" y="{TOP + 4 + number * 12}" fill="{colour}">{escape(short)} '
                     f'{samples[-1].get(name, 0):g}</text>')
    return parts
