"""Plays over real sockets: they tell a Router that keeps its promises from one that does not."""

import asyncio

import pytest

from benchmarks.scorecard import litellm_real
from benchmarks.scorecard.litellm_real import OURS, Results
from benchmarks.scorecard.socket_plays import PLAYS, Figures, act
from turnout.continuity.ids import IdCodec, Owned
from turnout.sim.plain_region import PlainRegion


def play(title: str) -> Figures:
    found = next(one for one in PLAYS if one.title == title)
    return asyncio.run(act(found, OURS.make, seed=3))


def test_ids_that_are_forged_are_refused() -> None:
    assert play("forged ids") == {"accepted of 20": 0.0, "requests sent": 0.0}


def test_ids_that_are_believed_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def believing(self: IdCodec, token: str, tenant: str, kind: str) -> Owned | None:
        return Owned(self._last, token)

    def remembering(self: IdCodec, upstream: str, domain: bytes, tenant: str = "", kind: str = "response") -> str:
        self._last = domain
        return upstream

    monkeypatch.setattr(IdCodec, "wrap", remembering)
    monkeypatch.setattr(IdCodec, "_verified", believing)
    found = play("forged ids")
    assert found["accepted of 20"] > 0
    assert found["requests sent"] > 0


def test_callers_that_give_up_leave_nothing_and_all_regions_serve() -> None:
    found = play("300 callers that give up")
    assert found["cancelled"] > 0
    assert (found["under way at servers"], found["regions that serve"]) == (0.0, 3.0)


def test_requests_that_stay_at_a_server_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    end = PlainRegion.answer

    def staying(self: PlainRegion, *given, **more):
        self.in_flight += 1
        return end(self, *given, **more)

    monkeypatch.setattr(PlainRegion, "answer", staying)
    assert play("300 callers that give up")["under way at servers"] > 0


def test_without_litellm_ours_is_played_alone_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    played: list[str] = []

    def note(contenders: list[litellm_real.Contender], seed: int) -> dict[str, Results]:
        played.extend(one.name for one in contenders)
        return {OURS.name: {one.title: {"a figure": 1.0} for one in PLAYS}}

    monkeypatch.setattr(litellm_real.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(litellm_real, "compare", note)
    monkeypatch.setattr("sys.argv", ["litellm_real"])
    litellm_real.main()
    told = capsys.readouterr()
    assert played == [OURS.name]
    assert "litellm is not installed" in told.err
    assert told.out.count("1.00") == len(PLAYS)
