"""Charts: what is drawn lies inside the picture, at the place its value has, and names cannot break out."""

import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.sim.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, Line, colours, draw, shown_lines
from turnout.sim.report import Mark

GROUND = HEIGHT - BOTTOM


def drawn(chart: Chart) -> ET.Element:
    return ET.fromstring(draw(chart, "chart"))


def paths(chart: Chart) -> list[list[tuple[float, float]]]:
    """The coordinates of each path, in the order of the lines."""
    numbers = [re.findall(r"(-?[\d.]+) (-?[\d.]+)", one.get("d", "")) for one in drawn(chart).iter("path")]
    return [[(float(x), float(y)) for x, y in one] for one in reversed(numbers)]


def test_points_lie_where_their_values_are() -> None:
    chart = Chart("t", "seconds", [Line("a", [(0, 0.0), (5, 5.0), (10, 10.0)])], 10)
    middle = (pytest.approx((LEFT + WIDTH - RIGHT) / 2), pytest.approx((TOP + GROUND) / 2))
    assert paths(chart) == [[(LEFT, GROUND), (LEFT, GROUND), middle, (WIDTH - RIGHT, TOP)]]


def test_a_missing_value_leaves_a_gap_and_a_lone_one_a_dot() -> None:
    svg = draw(Chart("t", "s", [Line("a", [(0, 1.0), (1, None), (2, 1.0), (3, 1.0)])], 3), "c")
    (path,) = re.findall(r' d="([^"]*)"', svg)
    assert re.sub(r"[\d. ]", "", path) == "MLMLL"


def test_layers_lie_on_each_other() -> None:
    chart = Chart("t", "s", [Line("a", [(0, 2.0), (10, 4.0)]), Line("b", [(0, 8.0), (10, 6.0)])], 10, stacked=True)
    lower, upper = paths(chart)
    assert [y for _, y in upper] == [GROUND, TOP, TOP, GROUND]
    assert [y for _, y in lower] == pytest.approx(
        [GROUND, GROUND - 0.2 * (GROUND - TOP), GROUND - 0.4 * (GROUND - TOP), GROUND], abs=0.1
    )


def test_a_ceiling_ends_the_axis() -> None:
    chart = Chart("t", "%", [Line("a", [(0, 99.0), (10, 100.0)])], 10, ceiling=100.0)
    assert paths(chart)[0][-1][1] == TOP
    labels = [one.text for one in drawn(chart).iter("text")]
    assert {"90", "100"} <= set(labels)
    assert "0" in labels  # of the axis of time
    assert "80" not in labels


def test_beyond_eight_lines_the_others_become_one() -> None:
    lines = [Line(f"line {number}", [(0, float(number)), (1, None)]) for number in range(10)]
    assert shown_lines(Chart("t", "s", lines[:8], 1)) == lines[:8]
    shown = shown_lines(Chart("t", "s", lines, 1, others=max))
    assert [line.name for line in shown] == [*(f"line {number}" for number in range(7)), "others (3)"]
    assert shown[-1].points == [(0, 9.0), (1, None)]


def test_marks_are_shaded_and_named() -> None:
    marks = [Mark(2, 5, "east down"), Mark(5, math.inf, "west slow"), Mark(20, 30, "later")]
    svg = drawn(Chart("t", "s", [Line("a", [(0, 1.0)])], 10, marks))
    areas = [(float(one.get("x", "")), float(one.get("width", ""))) for one in svg.iter("rect")]
    wide = WIDTH - LEFT - RIGHT
    assert areas == [
        (pytest.approx(LEFT + 0.2 * wide, abs=0.1), pytest.approx(0.3 * wide, abs=0.1)),
        (pytest.approx(LEFT + 0.5 * wide, abs=0.1), pytest.approx(0.5 * wide, abs=0.1)),
    ]
    assert {"east down", "west slow"} <= {one.text for one in svg.iter("text")}
    assert "later" not in {one.text for one in svg.iter("text")}


def test_a_chart_without_values_says_so() -> None:
    for lines in ([], [Line("a", [])], [Line("a", [(0, None)])]):
        assert "no data" in {one.text for one in drawn(Chart("t", "s", lines, 0)).iter("text")}


def test_a_chart_tells_its_content_in_words() -> None:
    svg = drawn(Chart("Wait", "seconds", [Line("a", [(0, 3.0), (1, 1.0)])], 1, [Mark(0, 1, "east down")]))
    assert svg.get("aria-labelledby") == "chart-title chart-desc"
    assert svg.findtext("title") == "Wait"
    assert svg.findtext("desc") == "seconds over time. a: from 1 to 3, at the end 1. Shaded: east down."


values = st.one_of(st.none(), st.floats(0, 1e12))
lines = st.lists(st.builds(Line, st.text(), st.lists(st.tuples(st.floats(0, 1e6), values), max_size=6)), max_size=10)
spans = st.builds(Mark, st.floats(-10, 1e6), st.one_of(st.just(math.inf), st.floats(0, 1e7)), st.just("down <&>"))


@given(lines, st.floats(0, 1e6), st.lists(spans, max_size=4), st.booleans())
def test_everything_is_drawn_inside(lines: list[Line], end: float, marks: list[Mark], stacked: bool) -> None:
    named = [Line(f"<{number}>", line.points) for number, line in enumerate(lines)]
    chart = Chart("<&>", '"', named, end, marks, stacked)
    places = [place for path in paths(chart) for place in path]
    for one in drawn(chart).iter():
        places += [(float(one.get(x, 0)), float(one.get(y, 0))) for x, y in (("x", "y"), ("x1", "y1"), ("x2", "y2"))]
        places.append(
            (float(one.get("x", 0)) + float(one.get("width", 0)), float(one.get("y", 0)) + float(one.get("height", 0)))
        )
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_stand_out_from_the_page() -> None:
    """A contrast of 3:1, which WCAG 2.2 (1.4.11) asks of graphics."""
    palettes = [re.findall(r"--series\d: (#\w{6})", line) for line in colours().splitlines()[:2]]
    for palette, page in zip(palettes, ("#ffffff", "#16181b"), strict=True):
        assert len(set(palette)) == 8
        for colour in palette:
            light, dark = sorted((luminance(colour), luminance(page)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3, colour
