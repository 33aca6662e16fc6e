"""Conformance kit: checks a strategy, a pre-call check, a store or an adapter against everything the Router expects.

    def test_mine():
        check_strategy(MyStrategy)

Each `check_...` runs the rules of one kind and raises AssertionError that names all that were broken; `..._RULES` are
the same rules by name, for a test of each. Needs no pytest; `turnout.testing.pytest_plugin` is for who has it.
"""

from turnout.testing.adapters import ADAPTER_RULES, check_adapter
from turnout.testing.checks import CHECK_RULES, check_pre_call_check
from turnout.testing.clouds import rows_for
from turnout.testing.exchanges import Exchange, Line, line_to
from turnout.testing.outages import check_store_outage, check_turn_store_outage
from turnout.testing.stores import STORE_RULES, Opener, check_store
from turnout.testing.strategies import STRATEGY_RULES, check_strategy
from turnout.testing.turn_stores import TURN_STORE_RULES, check_turn_store

__all__ = [
    "ADAPTER_RULES",
    "CHECK_RULES",
    "STORE_RULES",
    "STRATEGY_RULES",
    "TURN_STORE_RULES",
    "Exchange",
    "Line",
    "Opener",
    "check_adapter",
    "check_pre_call_check",
    "check_store",
    "check_store_outage",
    "check_strategy",
    "check_turn_store",
    "check_turn_store_outage",
    "line_to",
    "rows_for",
]
