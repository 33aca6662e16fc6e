"""The figures as columns of a table: their names, how they are written, and which way is better."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from turnout.sim.figures import DeploymentFigures, Summary

MISSING = "-"
_SIZES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
Figures = TypeVar("Figures")


@dataclass(frozen=True, slots=True)
class Column(Generic[Figures]):
    """One figure of a table. A column whose values are all missing need not be shown."""

    head: str
    """Name and unit."""
    about: str
    """What it means, for readers of a report."""
    value: Callable[[Figures], float | None]
    show: Callable[[float], str]
    better: Literal["high", "low"] | None = None

    def text(self, figures: Figures) -> str:
        """The figure as it is written."""
        value = self.value(figures)
        return MISSING if value is None else self.show(value)


def count(value: float) -> str:
    """A whole number."""
    return f"{value:,.0f}"


def short(value: float) -> str:
    """A large number to three digits: 12.3k, 4.94M."""
    if value < 1e4:
        return count(value)
    size, letter = next(one for one in _SIZES if value >= one[0])
    return f"{float(f'{value / size:.3g}'):,g}{letter}"


def percent(share: float) -> str:
    """A share of 1 in per cent; what only almost is everything does not read as 100."""
    text = f"{100 * share:.2f} %"
    return ">99.99 %" if text == "100.00 %" and share < 1 else text


def decimal(value: float) -> str:
    """A number with two decimals, one above ten."""
    return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}"


def dollars(value: float) -> str:
    """An amount of money; four decimals below a dollar."""
    return f"${value:,.4f}" if abs(value) < 1 else f"${value:,.2f}"


ANSWERS: Sequence[Column[Summary]] = (
    Column("calls", "Calls that arrived.", lambda one: one.calls, count),
    Column(
        "answered",
        "Share of the calls that were answered; calls whose request was itself wrong are left out.",
        lambda one: one.ok_share,
        percent,
        "high",
    ),
    Column("p50, s", "Half of the answered calls took no longer.", lambda one: one.p50, decimal, "low"),
    Column("p90, s", "90 % of the answered calls took no longer.", lambda one: one.p90, decimal, "low"),
    Column("p99, s", "99 % of the answered calls took no longer.", lambda one: one.p99, decimal, "low"),
    Column("max, s", "The longest answered call.", lambda one: one.max, decimal, "low"),
    Column("first p50, s", "Until the first output of half of the streams.", lambda one: one.first_p50, decimal, "low"),
    Column("first p99, s", "Until the first output of 99 % of the streams.", lambda one: one.first_p99, decimal, "low"),
)
"""What the callers of a run got."""

EFFORT: Sequence[Column[Summary]] = (
    Column("attempts per call", "Requests to deployments per call.", lambda one: one.attempts_per_call, decimal, "low"),
    Column(
        "failed per 1000",
        "Attempts that failed, throttled ones included, per 1000 calls; wrong requests do not count.",
        lambda one: one.failed_per_1000,
        decimal,
        "low",
    ),
    Column(
        "throttles per 1000",
        "Throttled attempts per 1000 calls.",
        lambda one: one.throttles_per_1000,
        decimal,
        "low",
    ),
    Column(
        "waited",
        "Share of the calls that waited for a limit, a throttle or a recovery.",
        lambda one: one.waited_share,
        percent,
    ),
    Column("mean wait, s", "That waiting, averaged over all calls.", lambda one: one.mean_waited, decimal, "low"),
    Column("tokens in", "Input tokens of answered calls.", lambda one: one.input_tokens, short),
    Column("tokens out", "Output tokens of answered calls.", lambda one: one.output_tokens, short),
    Column("cost", "Of all calls, at the prices of the deployments.", lambda one: one.cost, dollars, "low"),
)
"""What it took to serve them."""

DEPLOYMENT: Sequence[Column[DeploymentFigures]] = (
    Column("attempts", "Requests to the deployment.", lambda one: one.attempts, count),
    Column("ok", "Answered attempts.", lambda one: one.ok, count),
    Column("throttled", "Throttled attempts.", lambda one: one.throttled, count),
    Column("failed", "Failed attempts, throttled ones included.", lambda one: one.failed, count),
    Column("share", "Its share of the calls that any deployment answered.", lambda one: one.share, percent),
    Column("p50, s", "Half of its answered attempts took no longer.", lambda one: one.p50, decimal),
    Column("p99, s", "99 % of its answered attempts took no longer.", lambda one: one.p99, decimal),
    Column("tokens in", "Input tokens of the calls it answered.", lambda one: one.input_tokens, short),
    Column("tokens out", "Output tokens of the calls it answered.", lambda one: one.output_tokens, short),
    Column("cost", "Of the calls whose last attempt it had.", lambda one: one.cost, dollars),
)
"""What each deployment of a run did."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure as a table shows it."""

    text: str
    best: bool = False
    """To be emphasised: the best of its column, and not everybody's."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: heads of the columns of figures, and rows with a name and a cell for each."""

    heads: Sequence[str]
    abouts: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]


def grid(columns: Sequence[Column[Figures]], rows: Sequence[tuple[str, Figures]]) -> Grid:
    """The figures of these named rows in these columns, without the columns in which every value is missing."""
    figures = [one for _, one in rows]
    kept = [column for column in columns if not rows or any(column.value(one) is not None for one in figures)]
    by_column = [_cells(column, figures) for column in kept]
    return Grid(
        heads=[column.head for column in kept],
        abouts=[column.about for column in kept],
        rows=[(name, [cells[index] for cells in by_column]) for index, (name, _) in enumerate(rows)],
    )


def _cells(column: Column[Figures], rows: Sequence[Figures]) -> list[Cell]:
    texts = [column.text(one) for one in rows]
    best = _best_text(column, rows)
    shared = all(text == best for text in texts)
    return [Cell(text, text == best and not shared) for text in texts]


def _best_text(column: Column[Figures], rows: Sequence[Figures]) -> str | None:
    """What reads the same as the best value is as good as the best."""
    values = [value for value in map(column.value, rows) if value is not None]
    if column.better is None or not values:
        return None
    return column.show(max(values) if column.better == "high" else min(values))
