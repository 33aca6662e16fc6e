"""Fixtures for pytest. Not loaded by itself: name it in the `conftest.py` at the top of your tests.

pytest_plugins = ["turnout.testing.pytest_plugin"]
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.region import FakeRegion
from turnout.sim.upstream import Upstream

StartCloud = Callable[..., FakeCloud]


@pytest.fixture
def fake_cloud() -> Iterator[StartCloud]:
    """Starts a fake cloud on 127.0.0.1: `cloud = fake_cloud("eastus", "westus")`.

    A name makes an Azure-shaped `FakeRegion`; regions of one's own making may be given instead. `rows_for(cloud)` makes
    the `model_list`. Every cloud that was started is closed at the end of the test, whatever happened in it.
    """
    with ExitStack() as stack:

        def start(*regions: str | Upstream) -> FakeCloud:
            made = [FakeRegion(one) if isinstance(one, str) else one for one in regions]
            return stack.enter_context(FakeCloud(made))

        yield start
