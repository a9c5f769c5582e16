"""Draws line charts as SVG without a library, so that a page needs no other file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 860, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 190, 12, 44
#: The height of a title above the picture.
_TITLE = 26
#: Colours that most people with a colour weakness can distinguish (Okabe and Ito); the second round is dashed.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#808080")


@dataclass(frozen=True)
class Line:
    """A named line through points."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Axis:
    """Maps values between ``low`` and ``high`` to pixels between ``begin`` and ``end``."""

    low: float
    high: float
    begin: float
    end: float
    log: bool

    def __call__(self, value: float) -> float:
        warp: Callable[[float], float] = math.log10 if self.log else float
        share = (warp(value) - warp(self.low)) / (warp(self.high) - warp(self.low))
        return self.begin + share * (self.end - self.begin)

    @property
    def ticks(self) -> list[float]:
        if self.log:
            first, last = round(math.log10(self.low)), round(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1, max(1, (last - first) // 6))]
        step = 10 ** math.floor(math.log10(self.high))
        step = next(step * part for part in (0.1, 0.2, 0.5, 1, 2) if self.high / (step * part) <= 8)
        return [step * i for i in range(int(self.high / step) + 1)]


@dataclass(frozen=True)
class Chart:
    """Lines and their names; the y axis is logarithmic. Values on a logarithmic axis are above 0."""

    title: str
    x_name: str
    y_name: str
    lines: Sequence[Line]
    x_log: bool = True

    def figure(self) -> str:
        """The chart for a page, in the colours of the page's text."""
        return (f'<figure><figcaption>{escape(self.title)}</figcaption><svg {self._frame(0)} width="{_WIDTH}" '
                f'fill="currentColor">{self._drawing()}</svg></figure>\n')

    def file(self) -> str:
        """The chart for a separate file: on white, under its title."""
        return (f'<svg {self._frame(_TITLE)} color="#222" fill="#222">\n'
                f'<rect y="{-_TITLE}" width="{_WIDTH}" height="{_HEIGHT + _TITLE}" fill="#fff"/>\n'
                f'<text x="{_LEFT}" y="-8" font-weight="bold">{escape(self.title)}</text>\n'
                f"{self._drawing()}</svg>\n")

    def _frame(self, above: int) -> str:
        return (f'viewBox="0 {-above} {_WIDTH} {_HEIGHT + above}" role="img" aria-label="{escape(self.title)}" '
                f'font-family="system-ui, sans-serif" font-size="12" xmlns="http://www.w3.org/2000/svg"')

    def _drawing(self) -> str:
        xs = [x for line in self.lines for x, _ in line.points] or [1.0]
        ys = [y for line in self.lines for _, y in line.points] or [1.0]
        x_axis = _axis(xs, _LEFT, _WIDTH - _RIGHT, self.x_log)
        y_axis = _axis(ys, _HEIGHT - _BOTTOM, _TOP, True)
        drawn = [_grid(x_axis, y_axis), _names(self.x_name, self.y_name)]
        return "".join(drawn + [_line(i, line, x_axis, y_axis) for i, line in enumerate(self.lines)])


def _axis(values: Sequence[float], begin: float, end: float, log: bool) -> _Axis:
    if not log:
        return _Axis(0.0, max(values) or 1.0, begin, end, False)
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return _Axis(10.0**first, 10.0 ** max(last, first + 1), begin, end, True)


def _grid(x_axis: _Axis, y_axis: _Axis) -> str:
    drawn = []
    for value in x_axis.ticks:
        x = x_axis(value)
        drawn.append(f'<path d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="currentColor" opacity=".15"/>'
                     f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{_short(value)}</text>')
    for value in y_axis.ticks:
        y = y_axis(value)
        drawn.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="currentColor" opacity=".15"/>'
                     f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}</text>')
    return "".join(drawn)


def _names(x_name: str, y_name: str) -> str:
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return (f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x_name)}</text>'
            f'<text transform="translate(14 {(_TOP + _HEIGHT - _BOTTOM) / 2}) rotate(-90)" '
            f'text-anchor="middle">{escape(y_name)}</text>')


def _line(number: int, line: Line, x_axis: _Axis, y_axis: _Axis) -> str:
    dash = ' stroke-dasharray="6 4"' if number >= len(_COLOURS) else ""
    pen = f'stroke="{_COLOURS[number % len(_COLOURS)]}" stroke-width="2"{dash}'
    path = " ".join(f"{x_axis(x):.1f},{y_axis(y):.1f}" for x, y in line.points)
    y, x = _TOP + 14 + 20 * number, _WIDTH - _RIGHT + 14
    return (f'<polyline points="{path}" fill="none" {pen}><title>{escape(line.name)}</title></polyline>'
            f'<path d="M{x} {y - 4}h22" {pen}/><text x="{x + 28}" y="{y}">{escape(line.name)}</text>')


def _short(value: float) -> str:
    if value >= 1_000_000 or 0 < value < 0.0001:
        return f"{value:.0e}"
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
