"""Every row of every provider, on each of its wires, keeps the rules for adapters."""

import pytest

from tests.router.testing.exchanges import REACHED, exchange_on
from turnout.testing import check_adapter
from turnout_adapters.providers import PROVIDERS

LINES = [(name, wire) for name, row in PROVIDERS.items() for wire in row.wires or ()]


@pytest.mark.parametrize(("name", "wire"), LINES, ids=[" ".join(line) for line in LINES])
def test_our_own(name: str, wire: str) -> None:
    check_adapter(PROVIDERS[name], exchange_on(name, wire), wire=wire, **REACHED.get(name, {}))
