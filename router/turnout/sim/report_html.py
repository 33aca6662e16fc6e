"""A report of runs as one HTML file: tables and charts, nothing loaded from elsewhere, no script, light and dark."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

from turnout.sim.chart_axes import time_unit
from turnout.sim.charts import Chart, Line, Point, colours, draw, shown_lines
from turnout.sim.figures import Series
from turnout.sim.figures_columns import ANSWERS, DEPLOYMENT, EFFORT, MISSING, Cell, count, grid
from turnout.sim.report import Mark, Report, RunReport

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Browsers load and run nothing, whatever a name in the report might contain."""
_STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1a1a1a; --faint: #5c5c5c; --rule: #dddddd;
  --shade: #00000014; }
@media screen and (prefers-color-scheme: dark) {
  :root { --page: #16181b; --ink: #ececec; --faint: #a8a8a8; --rule: #3a3d42; --shade: #ffffff1f; }
}
body { margin: 0 auto; padding: 1.5rem; max-width: 80rem; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1.6em; }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.2em; }
p { margin: .3rem 0; }
.note, figcaption span, summary { color: var(--faint); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; }
dt { color: var(--faint); }
dd { margin: 0; }
.wide { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { text-align: left; white-space: nowrap; color: var(--faint); padding-bottom: .3rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--rule); text-align: right; vertical-align: bottom; }
th:first-child { text-align: left; overflow-wrap: anywhere; min-width: 7rem; }
th { font-weight: 600; }
td { white-space: nowrap; }
td.best { font-weight: 700; text-decoration: underline; text-underline-offset: .2em; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34rem), 1fr)); gap: 1.2rem; }
figure { margin: 0; min-width: 0; break-inside: avoid; }
figcaption { font-weight: 600; }
figcaption span { display: block; font-weight: 400; font-size: .85em; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--ink); font: 11px system-ui, sans-serif; }
.grid { stroke: var(--rule); }
.tick { stroke: var(--faint); }
.mark { fill: var(--shade); }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
ul.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .2rem 0; padding: 0; list-style: none;
  font-size: .85em; }
ul.legend span { display: inline-block; width: 1.6rem; margin-right: .4rem; vertical-align: middle; }
details table { font-size: .8em; }
details div { max-height: 24rem; overflow: auto; }
@media print { body { max-width: none; padding: 0; font-size: 11px; print-color-adjust: exact; }
  h2, figcaption { break-after: avoid; } .charts { display: block; } details { display: none; }
  figure { display: inline-block; width: 48%; margin: 0 1% 1rem 0; } }
"""


def write_report(path: str | Path, report: Report) -> None:
    """Writes the report to this file, over what is there. OSError if that cannot be done."""
    Path(path).write_text(report_html(report), encoding="utf-8", errors="replace")


def report_html(report: Report) -> str:
    """The report as an HTML document."""
    sections = [_comparison(report.runs), _over_time(report.runs)]
    sections += [_run(number, run) for number, run in enumerate(report.runs)]
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(report.title)}</title>\n<style>{_STYLE}{colours()}</style>\n</head>\n<body>",
            f"<header>\n<h1>{escape(report.title)}</h1>\n<p>{escape(report.subtitle)}</p>",
            _definitions(report.facts.items()),
            "</header>\n<main>",
            *sections,
            "</main>\n</body>\n</html>\n",
        ]
    )


def _comparison(runs: Sequence[RunReport]) -> str:
    summaries = [(run.name, run.summary) for run in runs]
    answers, effort = grid(ANSWERS, summaries), grid(EFFORT, summaries)
    meaning = _definitions(zip([*answers.heads, *effort.heads], [*answers.abouts, *effort.abouts], strict=True))
    return _section(
        "Comparison" if len(runs) > 1 else "Figures",
        _table("What the callers got.", ["run", *answers.heads], answers.rows),
        _table("What it took.", ["run", *effort.heads], effort.rows),
        '<p class="note">Bold and underlined: the best of a column.</p>' if len(runs) > 1 else "",
        f"<details>\n<summary>What the figures mean</summary>\n{meaning}\n</details>",
    )


def _over_time(runs: Sequence[RunReport]) -> str:
    """Each figure over time, a line for each run."""
    marks = tuple(dict.fromkeys(mark for run in runs for mark in run.marks))
    end = max((_end(run.series) for run in runs), default=0.0)

    def chart(
        title: str, unit: str, values: Callable[[Series], Iterable[float | None]], top: float | None = None
    ) -> Chart:
        lines = [Line(run.name, _points(run.series, values(run.series))) for run in runs]
        return Chart(title, unit, lines, end, marks, ceiling=top, others=statistics.fmean)

    charts = (
        chart("Answered calls", "% of calls", _percentages, 100.0),
        chart("Median length of answered calls", "seconds", lambda one: one.p50),
        chart("99th percentile of answered calls", "seconds", lambda one: one.p99),
        chart("Throttled attempts", "attempts per second", lambda one: _per_second(one, one.throttles)),
        chart(
            "Failed attempts, throttled ones included", "attempts per second", lambda one: _per_second(one, one.failed)
        ),
        chart("Cost", "dollars an hour", lambda one: (3600 * cost / one.bucket for cost in one.cost)),
    )
    figures = [_figure(one, f"runs-{number}") for number, one in enumerate(charts)]
    return _section("Over time", '<div class="charts">', *figures, "</div>")


def _run(number: int, run: RunReport) -> str:
    """The deployments of one run, and the errors its callers got."""
    series = run.series
    busiest = sorted(series.attempts, key=lambda name: (-sum(series.attempts[name]), name))

    def chart(title: str, unit: str, values: Callable[[str], Iterable[float]], *, stacked: bool) -> Chart:
        lines = [Line(name, _points(series, values(name))) for name in busiest]
        return Chart(title, unit, lines, _end(series), run.marks, stacked)

    charts = (
        chart(
            "Attempts at each deployment, stacked",
            "attempts per second",
            lambda name: _per_second(series, series.attempts[name]),
            stacked=True,
        ),
        chart("Attempts under way at each deployment", "attempts", lambda name: series.under_way[name], stacked=False),
    )
    table = grid(DEPLOYMENT, list(run.deployments.items()))
    errors = [(name, [Cell(count(calls))]) for name, calls in run.summary.errors.items()]
    return _section(
        f"Run: {run.name}",
        _table("Each deployment.", ["deployment", *table.heads], table.rows),
        _table("Calls that failed, by the error the caller got.", ["error", "calls"], errors) if errors else "",
        '<div class="charts">',
        *[_figure(one, f"run-{number}-{index}") for index, one in enumerate(charts)],
        "</div>",
    )


def _end(series: Series) -> float:
    return len(series.calls) * series.bucket


def _percentages(series: Series) -> list[float | None]:
    return [None if share is None else 100 * share for share in series.ok_share]


def _points(series: Series, values: Iterable[float | None]) -> list[Point]:
    """The values in the middles of their buckets."""
    return [(start + series.bucket / 2, value) for start, value in zip(series.starts, values, strict=True)]


def _per_second(series: Series, counts: Iterable[int]) -> list[float]:
    return [value / series.bucket for value in counts]


def _figure(chart: Chart, name: str) -> str:
    """A chart with its legend and its figures as a table."""
    size, unit = time_unit(chart.end)
    shaded = [f"{mark.label} ({_span(mark, size, unit)})" for mark in chart.marks]
    told = chart.unit + (f"; shaded: {', '.join(shaded)}" if shaded else "")
    lines = shown_lines(chart)
    mark = "patch" if chart.stacked else "swatch"
    legend = "".join(
        f'<li><span class="{mark}{index}"></span>{escape(line.name)}</li>' for index, line in enumerate(lines)
    )
    return "\n".join(
        [
            f"<figure>\n<figcaption>{escape(chart.title)}<span>{escape(told)}</span></figcaption>",
            draw(chart, name),
            f'<ul class="legend">{legend}</ul>' if lines else "",
            f"<details>\n<summary>Figures of this chart</summary>\n{_chart_table(chart, lines)}\n</details>\n</figure>",
        ]
    )


def _chart_table(chart: Chart, lines: Sequence[Line]) -> str:
    size, unit = time_unit(chart.end)
    values = [dict(line.points) for line in lines]
    times = sorted({at for one in values for at in one})
    rows = [(f"{at / size:.4g}", [Cell(_plain(one.get(at))) for one in values]) for at in times]
    return _table(f"{chart.title}, {chart.unit}.", [unit, *[line.name for line in lines]], rows)


def _plain(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4g}"


def _span(mark: Mark, size: float, unit: str) -> str:
    if math.isinf(mark.end):
        return f"from {mark.start / size:.4g} {unit} on"
    return f"{mark.start / size:.4g} to {mark.end / size:.4g} {unit}"


def _table(caption: str, heads: Sequence[str], rows: Iterable[tuple[str, Sequence[Cell]]]) -> str:
    """A table whose rows begin with their name."""
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    body = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(map(_cell, cells))}</tr>' for name, cells in rows
    )
    return (
        f'<div class="wide"><table>\n<caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _cell(cell: Cell) -> str:
    return f'<td class="best">{escape(cell.text)}</td>' if cell.best else f"<td>{escape(cell.text)}</td>"


def _definitions(pairs: Iterable[tuple[str, str]]) -> str:
    entries = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>\n" for name, text in pairs)
    return f"<dl>\n{entries}</dl>" if entries else ""


def _section(title: str, *parts: str) -> str:
    return "\n".join(["<section>", f"<h2>{escape(title)}</h2>", *filter(None, parts), "</section>"])
