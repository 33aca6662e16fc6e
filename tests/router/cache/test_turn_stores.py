"""Every turn store of ours keeps the rules of the conformance kit; the databases are real ones."""

from pathlib import Path

import pytest

from tests.router.cache.stores import ALL, opened
from turnout.testing import TURN_STORE_RULES


@pytest.mark.parametrize("rule", TURN_STORE_RULES)
@pytest.mark.parametrize("kind", ALL)
def test_our_own(kind: str, rule: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with opened(kind, tmp_path, request) as stores:
        TURN_STORE_RULES[rule](stores)
