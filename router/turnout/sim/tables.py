"""The tables of a report for a terminal, and the report as JSON. The tables need rich (the extra `cli`)."""

import math
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from turnout.errors import ConfigError
from turnout.sim.figures_columns import ANSWERS, DEPLOYMENT, EFFORT, Grid, count, grid
from turnout.sim.report import Report, RunReport

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_report(report: Report, console: "Console | None" = None) -> None:
    """Prints the comparison of the runs and the deployments of each; on standard output by default.

    ConfigError if rich is missing.
    """
    _need_rich()
    from rich.console import Console  # noqa: PLC0415 (rich comes with the extra)
    from rich.text import Text  # noqa: PLC0415

    console = console or Console()
    console.print(Text(report.title, "bold"))
    if report.subtitle:
        console.print(Text(report.subtitle))
    for name, fact in report.facts.items():
        console.print(Text.assemble((f"{name}: ", "dim"), fact))
    for table in comparison_tables(report):
        console.print("", table)
    for run in report.runs:
        console.print("", deployment_table(run))
        for error, calls in run.summary.errors.items():
            console.print(Text(f"calls that failed with {error}: {count(calls)}"))


def comparison_tables(report: Report) -> "list[Table]":
    """What the callers of each run got, and what it took; the best of a column is bold. ConfigError without rich."""
    rows = [(run.name, run.summary) for run in report.runs]
    return [
        _table("what the callers got", "run", grid(ANSWERS, rows)),
        _table("what it took", "run", grid(EFFORT, rows)),
    ]


def deployment_table(run: RunReport) -> "Table":
    """What each deployment of a run did. ConfigError without rich."""
    return _table(f"deployments: {run.name}", "deployment", grid(DEPLOYMENT, list(run.deployments.items())))


def report_json(report: Report) -> dict[str, Any]:
    """The report as JSON has it: no value is infinite or not a number.

    `title`, `subtitle` and `facts` as given, and `runs`, a list of
    - `name`;
    - `summary`: the fields of `figures.Summary`;
    - `deployments`: by name, the fields of `figures.DeploymentFigures`;
    - `series`: the fields of `figures.Series`, with `starts` and `ok_share`: a list with a value for each bucket;
    - `marks`: a list of `start`, `end` (null: to the end of the run) and `label`.

    Times are in seconds since the start of the run, lengths in seconds, cost in dollars, shares of 1; null is a figure
    of which there is none.
    """
    return {
        "title": report.title,
        "subtitle": report.subtitle,
        "facts": dict(report.facts),
        "runs": [_run_json(run) for run in report.runs],
    }


def _run_json(run: RunReport) -> dict[str, Any]:
    marks: Sequence[dict[str, Any]] = [
        {"start": mark.start, "end": None if math.isinf(mark.end) else mark.end, "label": mark.label}
        for mark in run.marks
    ]
    return {
        "name": run.name,
        "summary": run.summary.as_dict(),
        "deployments": {name: figures.as_dict() for name, figures in run.deployments.items()},
        "series": run.series.as_dict(),
        "marks": marks,
    }


def _need_rich() -> None:
    if find_spec("rich") is None:
        raise ConfigError("tables on a terminal need rich: pip install 'turnout[cli]'")


def _table(title: str, first: str, content: Grid) -> "Table":
    """Names are texts, not markup: they come from configurations."""
    _need_rich()
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=Text(title), title_justify="left", box=None, padding=(0, 1, 0, 0), header_style="underline")
    table.add_column(first, overflow="fold")
    for head in content.heads:
        table.add_column(head.replace(" ", "\n"), justify="right", overflow="fold", vertical="bottom")
    for name, cells in content.rows:
        table.add_row(Text(name), *[Text(cell.text, "bold green" if cell.best else "") for cell in cells])
    return table
