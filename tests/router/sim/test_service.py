"""What a region's service plans: its limits, its speed, what ails it."""

import pytest

from turnout.errors import ConfigError
from turnout.sim.buckets import Bucket
from turnout.sim.service import Plan, Service, ServiceModel, Size, link_spills
from turnout.sim.serving import size_of
from turnout.sim.slots import Place, Slots

SIZE = Size(1000, 200)


def statuses(service: Service, times: int, size: Size = SIZE, now: float = 0.0) -> list[int]:
    return [service.plan(size, now).status for _ in range(times)]


def test_a_bucket_holds_a_burst_and_is_refilled_evenly() -> None:
    bucket = Bucket(per_minute=600, burst=6)
    bucket.refill(100.0)
    assert bucket.level == 60
    bucket.take(50)
    assert bucket.lacks(10) == 0.0
    assert bucket.lacks(30) == pytest.approx(2.0)
    bucket.refill(102.0)
    assert bucket.lacks(30) == pytest.approx(0.0)
    assert bucket.left("tokens", 0.5) == ("tokens", 300, 15, pytest.approx(3.0))
    bucket.refill(200.0)
    assert bucket.level == 60
    assert bucket.lacks(10_000) == 0.0, "what is larger than the bucket is admitted when it is full"


def test_a_throttle_says_when_it_is_worth_coming_back() -> None:
    service = Service("a", ServiceModel(tpm=1200, burst=60))
    assert service.plan(SIZE, 0.0).status == 200
    refused = service.plan(SIZE, 10.0)
    assert (refused.status, refused.code, refused.retry_after) == (429, "rate_limit_exceeded", pytest.approx(50.0))
    assert service.plan(SIZE, 59.9).status == 429
    assert service.plan(SIZE, 60.1).status == 200


def test_what_is_reserved_counts_and_not_what_the_answer_has() -> None:
    service = Service("a", ServiceModel(tpm=3000))
    assert statuses(service, 3, Size(100, 10, reserved_tokens=1400)) == [200, 200, 429]


def test_a_refused_request_takes_nothing_of_any_limit() -> None:
    service = Service("a", ServiceModel(tpm=1200, rpm=10))
    assert statuses(service, 30) == [200] + [429] * 29
    assert service.plan(Size(1, 1), 5.0).headers["x-ratelimit-remaining-requests"] == "8"


def test_half_the_capacity_is_half_of_limits_and_slots() -> None:
    service = Service("a", ServiceModel(rpm=100, concurrency=10))
    service.change("capacity", 0.5)
    assert statuses(service, 51).count(200) == 50
    told = service.plan(SIZE, 0.0).headers
    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("50", "0")
    assert service.slots is not None
    assert service.slots.size == 5
    service.change("capacity", 1.0)
    assert service.slots.size == 10


def test_a_region_whose_clock_is_fast_tells_dates_of_its_own() -> None:
    service = Service("a", ServiceModel(rpm=1))
    service.change("skew", 90.0)
    assert statuses(service, 1) == [200]
    told = service.plan(SIZE, 0.0, unix=1_790_000_000.0).headers
    assert told["retry-after"] == "Mon, 21 Sep 2026 14:15:51 GMT"
    assert "retry-after-ms" not in told


def test_how_long_an_answer_takes() -> None:
    model = ServiceModel(first_token=0.5, per_input_token=0.001, per_output_token=0.01, jitter=0, factor=2)
    service = Service("a", model)
    assert service.seconds(SIZE) == (pytest.approx(3.0), pytest.approx(7.0))
    service.change("slowdown", 10.0)
    assert service.seconds(SIZE) == (pytest.approx(30.0), pytest.approx(70.0))


def test_requests_share_a_region_s_throughput() -> None:
    speed = {"first_token": 0.0, "per_input_token": 0.0, "per_output_token": 0.1, "jitter": 0.0}
    service = Service("a", ServiceModel(**speed, output_tokens_per_second=20.0))
    service.under_way = 1
    assert service.seconds(SIZE)[1] == pytest.approx(20.0), "two requests of 10 tokens a second each are what it can"
    service.under_way = 3
    assert service.seconds(SIZE)[1] == pytest.approx(40.0)


def test_a_prompt_s_beginning_that_is_remembered_is_read_faster_until_others_push_it_out() -> None:
    service = Service("a", ServiceModel(first_token=0, per_input_token=0.001, jitter=0, cached_prefixes=2))
    seen = [service.seconds(Size(1000, 0, prefix=name))[0] for name in ("x", "x", "y", "z", "x")]
    assert seen == [1.0, pytest.approx(0.1), 1.0, 1.0, 1.0]
    assert service.seconds(Size(1000, 0))[0] == 1.0


def test_a_share_of_requests_fails_or_is_cut_with_the_same_luck_each_time() -> None:
    def plans() -> list[Plan]:
        service = Service("a", ServiceModel(), seed=3)
        service.change("errors", 0.2)
        service.change("cut", 0.3)
        return [service.plan(SIZE, 0.0) for _ in range(2000)]

    once = plans()
    assert once == plans()
    errors = sum(plan.status == 500 for plan in once)
    cuts = [plan.cut for plan in once if plan.cut is not None]
    assert 340 < errors < 460
    assert 0.25 * (2000 - errors) < len(cuts) < 0.35 * (2000 - errors)
    assert all(0 <= cut < 1 for cut in cuts)


def test_a_look_up_is_no_work_and_fails_with_the_region() -> None:
    service = Service("a", ServiceModel(rpm=1, concurrency=1))
    assert [service.plan(None, 0.0).status for _ in range(5)] == [200] * 5
    assert not service.plan(None, 0.0).queued
    service.change("unavailable", value=True)
    assert service.plan(None, 0.0).status == 503


@pytest.mark.parametrize("ill", ["throttled", "unavailable"])
def test_what_a_region_cannot_take_spills(ill: str) -> None:
    services = {"ptu": Service("ptu", ServiceModel(ptu=True, tpm=10_000, spill="b")), "b": Service("b")}
    link_spills(services)
    assert services["ptu"].plan(SIZE, 0.0).server is None
    services["ptu"].change(ill, value=True)
    assert services["ptu"].plan(SIZE, 0.0).server is services["b"]
    services["b"].change("throttled", value=True)
    assert services["ptu"].plan(SIZE, 0.0).status == 429


def test_a_spill_to_nowhere_is_refused() -> None:
    services = {"eastus": Service("eastus"), "ptu": Service("ptu", ServiceModel(spill="eastsu"))}
    with pytest.raises(ConfigError, match=r"regions\.ptu\.spill: .*did you mean 'eastus'"):
        link_spills(services)


def test_slots_are_first_come_first_served_and_may_become_fewer() -> None:
    slots, begun = Slots(2), []
    places: list[Place] = [slots.enter(lambda number=number: begun.append(number)) for number in range(5)]
    assert begun == [0, 1]
    slots.leave(places[3])
    slots.leave(places[3])
    slots.size = 1
    slots.leave(places[0])
    assert begun == [0, 1]
    slots.leave(places[1])
    slots.leave(places[1])
    assert begun == [0, 1, 2]
    slots.leave(places[2])
    slots.leave(places[4])
    assert begun == [0, 1, 2, 4]
    assert (slots.working, len(slots.waiting)) == (0, 0)


def test_the_size_of_a_request() -> None:
    body = {"input": "x" * 400, "instructions": "y" * 40, "max_output_tokens": 64, "metadata": {"words": "7"}}
    assert size_of(body, 100) == Size(111, 7, 64, None)
    assert size_of({"messages": [], "metadata": {"prefix": "p"}}, 100) == Size(1, 100, None, "p")
