"""Charts over time as SVG to be put into a page: lines or stacked areas, with shaded time spans.

The colours are after Okabe and Ito's palette, which people with any colour vision can tell apart; darkened until each
has a contrast of 3:1 against a white page, with lighter ones for a dark page. Dashes tell them apart without colour.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from turnout.sim.chart_axes import Axis, time_axis, value_axis
from turnout.sim.report import Mark

WIDTH, HEIGHT = 640, 250
LEFT, RIGHT, TOP, BOTTOM = 72, 16, 34, 44
"""The margins around the plot."""
MOST_LINES = 8
_MARK_ROWS = (12, 26)
_LETTER = 6.0
"""Rough width of a letter of a label."""

_LIGHT = ("#0072b2", "#d55e00", "#00805c", "#a9478a", "#a67400", "#3b8fc4", "#444444", "#7d7d7d")
_DARK = ("#56a9e0", "#f0803c", "#2fbf95", "#d98cb8", "#e6b422", "#8fd0f5", "#e6e6e6", "#9a9a9a")
_DASHES = ("none", "none", "none", "none", "7 3", "7 3", "2 3", "2 3")
_BORDERS = ("solid", "solid", "solid", "solid", "dashed", "dashed", "dotted", "dotted")

Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """One series: seconds since the start of the run, and the value there; None leaves a gap."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Chart:
    """What a chart shows. Beyond eight lines, the last ones are drawn as one."""

    title: str
    unit: str
    lines: Sequence[Line]
    end: float
    """Where the axis of time ends, in seconds."""
    marks: Sequence[Mark] = ()
    stacked: bool = False
    """Areas upon each other instead of lines."""
    ceiling: float | None = None
    """Where the axis of values ends; it then begins at a round number below the lowest value. By default it begins at
    0 and ends above the highest."""
    others: Callable[[Iterable[float]], float] = math.fsum
    """What the lines that are drawn as one come to."""


def colours() -> str:
    """The style sheet of charts and legends."""
    rules = [_variables(_LIGHT), f"@media screen and (prefers-color-scheme: dark) {{ {_variables(_DARK)} }}"]
    for index, (dash, border) in enumerate(zip(_DASHES, _BORDERS, strict=True)):
        rules.append(f".line{index} {{ stroke: var(--series{index}); stroke-dasharray: {dash}; }}")
        rules.append(f".area{index} {{ fill: var(--series{index}); }}")
        rules.append(f".swatch{index} {{ border-top: 3px {border} var(--series{index}); }}")
        rules.append(f".patch{index} {{ border-top: 12px solid var(--series{index}); }}")
    return "\n".join(rules)


def _variables(values: Sequence[str]) -> str:
    return ":root { " + " ".join(f"--series{index}: {value};" for index, value in enumerate(values)) + " }"


def shown_lines(chart: Chart) -> Sequence[Line]:
    """The lines as they are drawn: at most eight, the last of them standing for the others."""
    if len(chart.lines) <= MOST_LINES:
        return chart.lines
    rest = chart.lines[MOST_LINES - 1 :]
    values: dict[float, list[float]] = {}
    for line in rest:
        for at, value in line.points:
            values.setdefault(at, []).extend([] if value is None else [value])
    points = [(at, chart.others(there) if there else None) for at, there in sorted(values.items())]
    return [*chart.lines[: MOST_LINES - 1], Line(f"others ({len(rest)})", points)]


def draw(chart: Chart, name: str) -> str:
    """The chart as an SVG element. `name` is its own within the page: letters, digits and hyphens."""
    lines = shown_lines(chart)
    layers = _stacked(lines) if chart.stacked else [line.points for line in lines]
    values = [value for points in layers for _, value in points if value is not None]
    plot = _Plot(time_axis(chart.end), _value_axis(chart, values))
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-title {name}-desc">',
        f'<title id="{name}-title">{escape(chart.title)}</title>',
        f'<desc id="{name}-desc">{escape(described(chart))}</desc>',
        *plot.shades(chart.marks),
        *plot.grid(),
    ]
    if not values:
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2, "no data", "middle"))
    # the top layer covers the ones below it, so it is drawn first
    for index in reversed(range(len(lines))):
        path = plot.area(layers[index]) if chart.stacked else plot.line(layers[index])
        kind = "area" if chart.stacked else "line"
        parts.append(f'<path class="{kind} {kind}{index}" d="{path}"><title>{escape(lines[index].name)}</title></path>')
    return "\n".join([*parts, "</svg>"])


def described(chart: Chart) -> str:
    """The chart in words, for those who cannot see it."""
    told = [f"{chart.unit} over time."]
    for line in shown_lines(chart):
        values = [value for _, value in line.points if value is not None]
        span = f"from {min(values):.4g} to {max(values):.4g}, at the end {values[-1]:.4g}" if values else "no data"
        told.append(f"{line.name}: {span}.")
    told += [f"Shaded: {mark.label}." for mark in chart.marks]
    return " ".join(told)


def _value_axis(chart: Chart, values: Sequence[float]) -> Axis:
    if chart.ceiling is None:
        return value_axis(0.0, max(values, default=0.0), chart.unit)
    return value_axis(min([*values, 0.9 * chart.ceiling]), chart.ceiling, chart.unit)


def _stacked(lines: Sequence[Line]) -> list[Sequence[Point]]:
    """Each line on top of the ones before it."""
    below: dict[float, float] = {}
    layers: list[Sequence[Point]] = []
    for line in lines:
        for at, value in line.points:
            below[at] = below.get(at, 0.0) + (value or 0.0)
        layers.append([(at, below[at]) for at, _ in line.points])
    return layers


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


@dataclass(frozen=True, slots=True)
class _Plot:
    """Turns times and values into coordinates, and those into elements."""

    times: Axis
    values: Axis

    def x(self, at: float) -> float:
        return LEFT + self.times.part(at) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - self.values.part(value) * (HEIGHT - TOP - BOTTOM)

    def line(self, points: Sequence[Point]) -> str:
        """A path through the points, broken where a value is missing; a lone point becomes a dot."""
        steps: list[str] = []
        drawing = False
        for at, value in points:
            if value is not None:
                place = f"{self.x(at):.1f} {self.y(value):.1f}"
                steps.append(f"L{place}" if drawing else f"M{place}L{place}")
            drawing = value is not None
        return "".join(steps)

    def area(self, points: Sequence[Point]) -> str:
        """A path around what lies below the points."""
        if not points:
            return ""
        ground = f"{self.y(self.values.low):.1f}"
        top = "".join(f"L{self.x(at):.1f} {self.y(value or 0.0):.1f}" for at, value in points)
        return f"M{self.x(points[0][0]):.1f} {ground}{top}L{self.x(points[-1][0]):.1f} {ground}Z"

    def grid(self) -> list[str]:
        """Ticks with their lines and numbers, and the units."""
        parts: list[str] = []
        for value, label in self.values.ticks:
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
            parts.append(_text(LEFT - 6, y + 4, label, "end"))
        ground = HEIGHT - BOTTOM
        for at, label in self.times.ticks:
            x = self.x(at)
            parts.append(f'<line class="tick" x1="{x:.1f}" y1="{ground}" x2="{x:.1f}" y2="{ground + 5}"/>')
            parts.append(_text(x, ground + 18, label, "middle"))
        middle = (TOP + ground) / 2
        turned = f' transform="rotate(-90 14 {middle:.1f})"'
        parts.append(_text(14, middle, self.values.unit, "middle", turned))
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, f"{self.times.unit} since the start", "middle"))
        return parts

    def shades(self, marks: Sequence[Mark]) -> list[str]:
        """The marked time spans, with as many of their labels above the plot as there is room for."""
        parts: list[str] = []
        free = [float(LEFT)] * len(_MARK_ROWS)
        seen = [mark for mark in marks if mark.start < self.times.high and mark.end > self.times.low]
        for mark in sorted(seen, key=lambda one: one.start):
            start, end = min(self.x(mark.start), WIDTH - RIGHT - 1), self.x(mark.end)
            parts.append(
                f'<rect class="mark" x="{start:.1f}" y="{TOP}" width="{max(end - start, 1):.1f}" '
                f'height="{HEIGHT - TOP - BOTTOM}"><title>{escape(mark.label)}</title></rect>'
            )
            label = mark.label[: int((WIDTH - LEFT - RIGHT) / _LETTER)]
            start = max(min(start, WIDTH - RIGHT - len(label) * _LETTER), LEFT)
            row = next((index for index, taken in enumerate(free) if taken <= start), None)
            if row is not None:
                free[row] = start + (len(label) + 1) * _LETTER
                parts.append(_text(start, _MARK_ROWS[row], label, "start"))
        return parts
