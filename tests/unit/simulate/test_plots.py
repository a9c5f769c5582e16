"""Charts are valid SVG for any data."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from jobsched.simulate.plots import Chart, Line

values = st.floats(1e-6, 1e9)
points = st.lists(st.tuples(values, values), max_size=5)


@given(st.lists(points, max_size=12), st.booleans())
def test_every_line_is_drawn_inside_the_picture(lines: list[list[tuple[float, float]]], x_log: bool) -> None:
    chart = Chart("of <all>", "x", "y & z", [Line(f"line {i}", line) for i, line in enumerate(lines)], x_log=x_log)

    for svg in (chart.figure(), chart.file()):
        _is_inside(svg, lines)


def _is_inside(svg: str, lines: list[list[tuple[float, float]]]) -> None:
    drawn = ElementTree.fromstring(svg.replace(' xmlns="http://www.w3.org/2000/svg"', "")).findall(".//polyline")
    assert len(drawn) == len(lines)
    for line, found in zip(lines, drawn, strict=True):
        spots = [tuple(map(float, spot.split(","))) for spot in found.attrib["points"].split()]
        assert len(spots) == len(line)
        assert all(0 <= x <= 860 and 0 <= y <= 400 for x, y in spots)


def test_a_chart_names_its_lines_and_axes_and_escapes_them() -> None:
    chart = Chart("<b>", "seconds", "slow & down", [Line("a<b", [(1, 1), (10, 100)])])

    for svg in (chart.figure(), chart.file()):
        assert "a&lt;b" in svg
        assert "slow &amp; down" in svg
        assert "<b>" not in svg
