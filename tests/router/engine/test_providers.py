"""Provider-wide ejection as a function of what was heard and when."""

from random import Random

import pytest

from turnout.engine.providers import Providers

RNG = Random(1)


def hear(providers: Providers, now: float, *deployments: str, alone: bool = False, after: float | None = None) -> None:
    for one in deployments:
        providers.overloaded("p", one, now, RNG, alone=alone, retry_after=after)


def ejected(*deployments: str, at: float = 0.0) -> Providers:
    providers = Providers(enabled=True)
    hear(providers, at, *(deployments or ("a", "b")))
    assert providers.shunned(at) == ("p",)
    return providers


def pause_of(providers: Providers, now: float) -> float:
    until = providers.ill["p"].until
    assert until is not None
    return until - now


def test_two_deployments_within_ten_seconds() -> None:
    providers = Providers(enabled=True)
    hear(providers, 0.0, "a", "a", "a", "a")
    assert providers.shunned(0.0) == ()
    hear(providers, 9.0, "b")
    assert providers.shunned(9.0) == ("p",)


def test_two_deployments_too_far_apart() -> None:
    providers = Providers(enabled=True)
    hear(providers, 0.0, "a")
    hear(providers, 10.5, "b")
    assert providers.shunned(10.5) == ()


def test_the_only_deployment_three_times() -> None:
    providers = Providers(enabled=True)
    hear(providers, 0.0, "a", "a", alone=True)
    assert providers.shunned(0.0) == ()
    hear(providers, 1.0, "a", alone=True)
    assert providers.shunned(1.0) == ("p",)


def test_a_provider_that_mostly_answers_is_not_ejected() -> None:
    providers = Providers(enabled=True)
    for step in range(40):
        now = step / 4
        if step % 5 == 0:
            hear(providers, now, "ab"[step % 2])
        else:
            providers.served("p", now)
        assert providers.shunned(now) == () or step < 5
    assert providers.shunned(10.0) == ()


def test_others_are_not_affected() -> None:
    providers = ejected()
    providers.overloaded("q", "c", 0.0, RNG, alone=False, retry_after=None)
    assert providers.shunned(0.0) == ("p",)


def test_one_call_finds_out_at_a_time() -> None:
    providers = ejected()
    over = pause_of(providers, 0.0)
    assert providers.shunned(over - 0.01) == ("p",)
    assert providers.shunned(over) == ()
    providers.begin("p", over)
    assert providers.shunned(over) == ("p",)
    assert providers.shunned(over + 10.0) == ()  # the trial was lost or cancelled: another one may
    providers.begin("p", over + 10.0)
    providers.served("p", over + 11.0)
    assert providers.shunned(over + 11.0) == ()
    providers.begin("p", over + 11.0)
    assert providers.shunned(over + 11.0) == ()


def test_pauses_grow_while_trials_fail() -> None:
    providers, now, pauses = ejected(), 0.0, list[float]()
    for _ in range(6):
        pauses.append(pause_of(providers, now))
        now += pauses[-1]
        providers.begin("p", now)
        hear(providers, now, "a")
    for pause, longest in zip(pauses, (10, 20, 40, 60, 60, 60), strict=True):
        assert longest / 2 <= pause <= longest


def test_late_answers_change_nothing() -> None:
    providers = ejected()
    before = pause_of(providers, 0.0)
    hear(providers, 1.0, "a", "b", "c")
    providers.served("p", 1.0)
    assert pause_of(providers, 0.0) == before


def test_trips_are_remembered_for_a_while() -> None:
    for quiet, longest in ((60.0, 20), (130.0, 10)):
        providers = ejected()
        now = pause_of(providers, 0.0)
        providers.begin("p", now)
        providers.served("p", now)
        now += quiet
        hear(providers, now, "a", "b")
        assert longest / 2 <= pause_of(providers, now) <= longest


def test_a_provider_that_is_well_is_forgotten() -> None:
    providers = Providers(enabled=True)
    hear(providers, 0.0, "a")
    providers.served("p", 60.0)
    assert providers.ill
    providers.served("p", 121.0)
    assert not providers.ill


@pytest.mark.parametrize(("after", "least"), [(30.0, 30.0), (600.0, 60.0)])
def test_a_retry_after_is_kept_to(after: float, least: float) -> None:
    providers = Providers(enabled=True)
    hear(providers, 0.0, "a", "b", after=after)
    assert pause_of(providers, 0.0) == least


def test_it_is_off_with_the_cooldowns() -> None:
    providers = Providers(enabled=False)
    hear(providers, 0.0, "a", "b", "c")
    assert not providers.ill
