"""Which part of a group's calls each deployment is due."""

from typing import Any

import pytest

from tests.router.engine.test_fleet import row
from turnout.config import parse_model_list
from turnout.engine.fleet import Fleet
from turnout.policies import BudgetPolicy, CooldownPolicy, WaitPolicy
from turnout.strategies import SimpleShuffle


def shares(*rows: dict[str, Any]) -> list[float]:
    fleet = Fleet(SimpleShuffle(), [], CooldownPolicy(), BudgetPolicy(), WaitPolicy())
    listed = [row(f"d{number}", **params) for number, params in enumerate(rows)]
    for spec in parse_model_list(listed, {}):
        fleet.add(spec, 0.0)
    return [fleet.deployments[f"d{number}"].share for number in range(len(rows))]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{}, {}], [1.0, 1.0]),
        ([{"weight": 8}, {"weight": 0}], [8.0, 0.0]),
        ([{"weight": 3, "tpm": 1000}, {"tpm": 9000}], [3.0, 1.0]),
        ([{"rpm": 100, "tpm": 1}, {"rpm": 300, "tpm": 9}], [100.0, 300.0]),
        ([{"tpm": 100_000}, {"tpm": 300_000}, {}], [100_000.0, 300_000.0, 200_000.0]),
    ],
)
def test_one_measure_counts_for_the_whole_group(rows: list[dict[str, Any]], expected: list[float]) -> None:
    assert shares(*rows) == expected
    assert shares(*reversed(rows)) == expected[::-1]
