"""The HTML report: whole, safe against what names contain, and loading nothing."""

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.router.sim.runs import answered, failed
from turnout.sim.report import Mark, Report, RunReport, fitting_bucket
from turnout.sim.report_html import report_html, write_report

VOID = {"meta"}
HOSTILE = "</title></style><script>alert('1')</script><img src=x onerror=\"alert(2)\">&amp;"


class Page(HTMLParser):
    """Reads a document; fails at the first tag that does not close what is open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.append((self.open[-1], data))

    def texts_of(self, tag: str) -> list[str]:
        return [text for where, text in self.texts if where == tag]

    def classes(self, tag: str) -> list[str]:
        return [values.get("class") or "" for name, values in self.tags if name == tag]


def report(*names: str, marks: tuple[Mark, ...] = ()) -> Report:
    """Each run a second slower than the one before; the first has a failed call."""
    runs = []
    for number, name in enumerate(names):
        outcomes = [answered(at, 1.0 + number, by=("east", "west")[at % 2], cost=0.01) for at in range(60)]
        outcomes += [] if number else [failed(30, "throttle", "deployment")]
        runs.append(RunReport.of(name, outcomes, marks=marks))
    return Report("A report", "of runs", runs, {"seed": "1"})


def test_runs_are_compared_and_the_best_emphasised() -> None:
    text = report_html(report("adaptive", "least-busy"))
    page = Page(text)
    assert {"A report", "Comparison", "Over time", "Run: adaptive", "Run: least-busy"} <= {
        text for _, text in page.texts
    }
    (quick, slow) = re.findall(r'<tr><th scope="row">(?:adaptive|least-busy)</th>(.*?)</tr>', text)[:2]
    assert '<td class="best">1.00</td>' in quick
    assert "<td>98.36 %</td>" in quick
    assert '<td class="best">100.00 %</td>' in slow
    assert "ServiceUnavailableError" in page.texts_of("th")


def test_every_figure_has_a_chart_and_a_table() -> None:
    page = Page(report_html(report("adaptive", "least-busy")))
    names = [name for name, _ in page.tags]
    assert names.count("svg") == names.count("figure") == names.count("desc") == 6 + 2 * 2
    assert names.count("table") == 2 + names.count("figure") + 2 + 1  # comparison, charts, deployments, errors
    ids = [values["id"] for _, values in page.tags if "id" in values]
    assert len(ids) == len(set(ids))
    labels = [values["aria-labelledby"] for name, values in page.tags if name == "svg"]
    assert {one for label in labels for one in (label or "").split()} == set(ids)


def test_legends_name_the_lines_of_their_chart() -> None:
    text = report_html(report("adaptive", "least-busy"))
    legends = [re.findall(r"</span>(.*?)</li>", one) for one in re.findall(r'<ul class="legend">(.*?)</ul>', text)]
    assert legends == [["adaptive", "least-busy"]] * 6 + [["east", "west"]] * 4


def test_faults_are_named_with_their_times() -> None:
    text = report_html(report("a", marks=(Mark(10, 20, "east down"), Mark(15, math.inf, "west slow"))))
    assert "shaded: east down (10 to 20 seconds), west slow (from 15 seconds on)" in text


def test_names_are_text_whatever_they_contain() -> None:
    calls = [answered(0, by=HOSTILE), failed(1, "deployment", by=HOSTILE, error=HOSTILE)]
    runs = [RunReport.of(HOSTILE, calls, marks=[Mark(0, 1, HOSTILE)]), RunReport.of(HOSTILE, calls)]
    page = Page(report_html(Report(HOSTILE, HOSTILE, runs, {HOSTILE: HOSTILE})))
    names = {name for name, _ in page.tags}
    assert not names & {"script", "img"}
    assert not [values for _, values in page.tags if any(key.startswith("on") for key in values)]
    for tag in ("h1", "p", "dt", "dd", "th", "title", "li"):
        assert HOSTILE in page.texts_of(tag), tag


def test_nothing_is_loaded() -> None:
    text = report_html(report("a", "b", marks=(Mark(0, 10, "east down"),)))
    assert not re.search(r"https?:|url\(|@import", text)
    page = Page(text)
    assert not [name for name, values in page.tags if {"src", "href", "srcset", "data"} & set(values)]
    assert not {"script", "link", "iframe"} & {name for name, _ in page.tags}
    policies = [values["content"] for _, values in page.tags if values.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_more_than_eight_runs_keep_their_rows() -> None:
    names = [f"run {number}" for number in range(11)]
    page = Page(report_html(report(*names)))
    assert all(page.texts_of("th").count(name) >= 2 for name in names)
    assert page.texts_of("li").count("others (4)") == 6


@pytest.mark.parametrize("runs", [[], [RunReport.of("empty", [])]])
def test_a_report_without_calls_is_whole(runs: list[RunReport]) -> None:
    page = Page(report_html(Report("Nothing", "", runs)))
    assert "Figures" in page.texts_of("h2")
    assert page.texts_of("text").count("no data") == 6 + 2 * len(runs)


def test_it_is_written_as_utf8_even_if_a_name_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("an older report")
    write_report(path, Report("Zürich \ud800", "", []))
    assert "<h1>Zürich ?</h1>" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("seconds", "bucket"), [(0, 0.1), (60, 0.5), (1800, 15), (86400, 900), (120 * 86400, 86400)])
def test_buckets_are_round(seconds: float, bucket: float) -> None:
    assert fitting_bucket(seconds) == bucket
