"""`log=True` writes through Python's logging, and whoever logs fails no call."""

import logging
from typing import Any

import pytest

from tests.conftest import router_of
from turnout import TurnoutError
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import outage


def test_it_is_pythons_logger_and_nothing_is_printed(
    cloud: FakeCloud, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud["eastus"].set_fault(outage())
    with caplog.at_level(logging.DEBUG, "turnout"), router_of(cloud, "eastus", log=True, num_retries=0) as router:
        with pytest.raises(TurnoutError):
            router.responses("gpt", "hello")
        cloud["eastus"].set_fault(None)
        router.responses("gpt", "hello", timeout=30)
    told = [(one.levelname, one.getMessage()) for one in caplog.records if hasattr(one, "turnout")]
    assert [level for level, _ in told] == ["WARNING", "WARNING", "DEBUG"]
    assert told[0][1].startswith("attempt failed: deployment=eastus model_group=gpt outcome=deployment error=Internal")
    assert "call failed: error=InternalServerError operation=create model=gpt seconds=" in told[1][1]
    assert told[2][1].startswith("call served: operation=create model=gpt")
    facts: Any = caplog.records[0].turnout  # type: ignore[attr-defined]
    assert (facts["deployment"], facts["status"]) == ("eastus", 500)
    assert capsys.readouterr() == ("", "")


def test_the_level_of_the_logger_counts(cloud: FakeCloud, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "turnout"), router_of(cloud, "eastus", log=True) as router:
        router.responses("gpt", "hello")
    assert not caplog.records


def test_a_logger_of_ones_own_is_told_and_its_failure_fails_no_call(
    cloud: FakeCloud, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    class Own:
        def debug(self, event: str, **facts: Any) -> None:
            told.append(event)
            raise RuntimeError("the disk is full")

        warning = debug

    with router_of(cloud, "eastus", log=Own()) as router:
        assert router.responses("gpt", "hello").status == "completed"
    assert told == ["call served"]
    assert "a callback failed on CallFinished" in caplog.text
