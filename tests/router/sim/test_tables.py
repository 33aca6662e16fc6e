"""The report on a terminal, and as JSON."""

import io
import json
import math
import sys

import pytest
from rich.console import Console

from tests.router.sim.runs import answered, failed
from turnout.errors import ConfigError
from turnout.sim.figures_columns import ANSWERS, EFFORT, decimal, dollars, grid, percent, short
from turnout.sim.report import Mark, Report, RunReport
from turnout.sim.tables import comparison_tables, deployment_table, print_report, report_json

QUICK = RunReport.of(
    "[bold]quick[/bold]", [*(answered(at, cost=0.01) for at in range(50)), failed(9, "throttle")], bucket=30
)
SLOW = RunReport.of(
    "slow", [answered(at, 12.5, by="west", cost=3.0) for at in range(50)], marks=[Mark(5, math.inf, "x")]
)
REPORT = Report("Two runs", "of [red]calls[/red]", [QUICK, SLOW], {"seed": "[1]"})


def printed(width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_report(REPORT, console)
    return console.file.getvalue()


def test_the_report_is_printed_with_names_as_they_are() -> None:
    text = printed(120)
    rows = {words[0]: words[1:] for words in map(str.split, text.splitlines()) if words}
    assert rows["east"] == ["51", "50", "1", "1", "100.00", "%", "1.00", "1.00", "5,000", "1,000", "$0.5000"]
    assert rows["west"][-1] == "$150.00"
    assert rows["seed:"] == ["[1]"]
    assert "of [red]calls[/red]" in text
    assert text.count("[bold]quick[/bold]") == 3
    assert "calls that failed with ServiceUnavailableError: 1" in text


def test_a_narrow_terminal_loses_nothing() -> None:
    narrow = printed(80)
    assert "…" not in narrow
    assert "$0.5000" in narrow
    assert max(map(len, narrow.splitlines())) <= 80


def test_the_best_of_a_column_is_bold() -> None:
    answers, effort = comparison_tables(REPORT)
    styles = {column.header: [cell.style for cell in column.cells] for column in (*answers.columns, *effort.columns)}
    assert styles["p99,\ns"] == ["bold green", ""]
    assert styles["answered"] == ["", "bold green"]
    assert styles["calls"] == ["", ""]
    assert deployment_table(SLOW).row_count == 1


def test_without_rich_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    for show in (lambda: print_report(REPORT), lambda: comparison_tables(REPORT), lambda: deployment_table(QUICK)):
        with pytest.raises(ConfigError, match=r"turnout\[cli\]"):
            show()


def test_the_report_as_json() -> None:
    written = json.loads(json.dumps(report_json(REPORT), allow_nan=False))
    assert list(written) == ["title", "subtitle", "facts", "runs"]
    quick, slow = written["runs"]
    assert list(quick) == ["name", "summary", "deployments", "series", "marks"]
    assert (quick["summary"]["calls"], quick["summary"]["errors"]) == (51, {"ServiceUnavailableError": 1})
    assert quick["deployments"]["east"]["throttled"] == 1
    assert (quick["series"]["starts"], quick["series"]["calls"]) == ([0, 30], [31, 20])
    assert quick["series"]["ok_share"] == [30 / 31, 1]
    assert quick["series"]["attempts"] == {"east": [31, 20]}
    assert slow["marks"] == [{"start": 5, "end": None, "label": "x"}]


def test_columns_without_values_are_left_out_and_ties_are_shared() -> None:
    runs = [(run.name, run.summary) for run in (QUICK, QUICK, SLOW)]
    answers = grid(ANSWERS, runs)
    assert "first p50, s" not in answers.heads
    p50 = answers.heads.index("p50, s")
    assert [(cells[p50].text, cells[p50].best) for _, cells in answers.rows] == [
        ("1.00", True),
        ("1.00", True),
        ("12.5", False),
    ]
    assert not any(cell.best for _, cells in grid(EFFORT, runs[:2]).rows for cell in cells)


def test_figures_are_written_for_people() -> None:
    assert [percent(one) for one in (1, 0.99999, 0.5, 0)] == ["100.00 %", ">99.99 %", "50.00 %", "0.00 %"]
    assert [decimal(one) for one in (0.126, 9.99, 10, 1234.56)] == ["0.13", "9.99", "10.0", "1,234.6"]
    assert [dollars(one) for one in (0, 0.01234, 1.5, 1234)] == ["$0.0000", "$0.0123", "$1.50", "$1,234.00"]
    assert [short(one) for one in (999, 9999, 12_345, 999_499, 4_937_000, 2e9)] == [
        "999",
        "9,999",
        "12.3k",
        "999k",
        "4.94M",
        "2G",
    ]
