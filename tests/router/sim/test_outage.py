"""The benchmark of outages in small: conversations outlive their account, and it is noticed when they do not."""

import asyncio
import dataclasses
from typing import Any

import pytest

from benchmarks.outage import BARE, OURS, SCENARIOS, Contender, Json, Scenario, Tally, measure, with_transcripts

COUNT, TURNS, SEED = 30, 5, 3
PINNED = SCENARIOS[0]


def outcome(scenario: Scenario, contender: Contender, count: int = COUNT) -> Tally:
    return asyncio.run(measure(scenario, contender, count, TURNS, SEED))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[one.title for one in SCENARIOS])
def test_with_transcripts_every_conversation_completes(scenario: Scenario) -> None:
    tally = outcome(scenario, OURS)
    assert tally.broken_promises() == [], (tally.errors, tally.refused, tally.example)
    assert tally.complete == COUNT
    if scenario.pinned:
        assert tally.replayed == COUNT


def test_without_each_pinned_call_ends_in_a_typed_error_within_its_deadline() -> None:
    tally = outcome(PINNED, dataclasses.replace(BARE, settings={"timeout": 0.5}))
    assert tally.broken_promises() == [], (tally.errors, tally.example)
    assert tally.failed == COUNT


class Forgetful:
    """A router that calls whoever is there, with nothing of what was said before."""

    def __init__(self, rows: list[Json], settings: Json) -> None:
        self._router = with_transcripts(rows, settings)

    async def aresponses(self, **asked: Any) -> Any:
        return await self._router.aresponses(**{**asked, "previous_response_id": None})

    async def aclose(self) -> None:
        await self._router.aclose()

    def close(self) -> None:
        self._router.close()


def test_a_conversation_that_goes_on_without_its_history_is_noticed() -> None:
    tally = outcome(PINNED, dataclasses.replace(OURS, make=Forgetful), 12)
    assert tally.complete == 0
    assert tally.silent + tally.failed == 12
    assert tally.silent > 0
    assert any("without the whole history" in text for text in tally.broken_promises())


def test_a_foreign_id_is_noticed() -> None:
    tally = Tally("scenario", "router", "survives", 1, complete=1)
    assert tally.broken_promises() == []
    tally.foreign_ids = 1
    assert len(tally.broken_promises()) == 1
