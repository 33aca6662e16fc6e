"""Limits through a Router: what is counted, what is given back, and what the provider says of its own."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from random import Random
from typing import Any

import pytest

from tests.servers import Answer, Asked, Server, listening, read_request, serving
from tests.valkey import ValkeyServer
from turnout import ConfigError, NoDeploymentAvailable, Router, TurnoutError
from turnout.config import parse_model_list
from turnout.sim.replies import encode_event, response_object, stream_events

PRICES = {"input_cost_per_token": 1e-3, "output_cost_per_token": 1e-2}


class Provider:
    """Answers with the usage, status and headers that a test sets."""

    def __init__(self) -> None:
        self.usage: dict[str, int] | None = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
        self.status = 200
        self.headers: dict[str, str] = {}
        self.cut = False
        self.server = Server()

    def answer(self, asked: Asked) -> Answer:
        if self.status != 200:
            return Answer(self.status, {"error": {"message": "no", "code": None}}, headers=self.headers)
        body = {**response_object(asked.body, "here", 1, 4, Random(1)), "usage": self.usage}
        if not asked.body.get("stream"):
            return Answer(200, body, headers=self.headers)
        events = [encode_event(event) for event in stream_events(body)]
        head = {**self.headers, "content-type": "text/event-stream"}
        return Answer(200, raw=b"".join(events[: -3 if self.cut else None]), headers=head)

    def row(self, name: str = "a", **params: Any) -> dict[str, Any]:
        given = {"model": "openai/gpt-4o", "api_key": "k", "api_base": f"{self.server.url}/v1", **params}
        return {"model_name": "gpt", "litellm_params": given, "model_info": {"id": name}}


@pytest.fixture
def provider() -> Iterator[Provider]:
    one = Provider()
    with serving(one.answer) as one.server:
        yield one


def used(router: Router, name: str = "a") -> dict[str, float]:
    """What was used of each limit of a deployment."""
    (found,) = [one for one in router.status() if one.id == name]
    return {limit: amount for limit, (amount, _) in found.used.items()}


EVERY = {
    "rpm": 100, "tpm": 10_000, "itpm": 10_000, "otpm": 10_000, "rpd": 1000, "tpd": 100_000,
    "max_budget": 50.0, "budget_duration": "30d", **PRICES,
}  # fmt: skip
SETTLED = {"rpm": 1, "tpm": 5, "itpm": 3, "otpm": 2, "rpd": 1, "tpd": 5, "max_budget": 0.023}
ESTIMATED = {"rpm": 1, "tpm": 21, "itpm": 1, "otpm": 20, "rpd": 1, "tpd": 21, "max_budget": 0.201}
REFUNDED = {"rpm": 1, "tpm": 0, "itpm": 0, "otpm": 0, "rpd": 1, "tpd": 0, "max_budget": 0}


def ask(router: Router, **params: Any) -> None:
    router.responses("gpt", "hi", max_output_tokens=20, **params)


def read(router: Router, **params: Any) -> None:
    with router.responses("gpt", "hi", max_output_tokens=20, stream=True, **params) as stream:
        for _ in stream:
            pass


@pytest.mark.parametrize("call", [ask, read])
def test_every_limit_is_settled_by_what_was_used(provider: Provider, call: Callable[..., None]) -> None:
    with Router([provider.row(**EVERY)], num_retries=0) as router:
        call(router)
        assert used(router) == SETTLED
        provider.usage = None
        call(router)
        assert used(router) == pytest.approx({name: SETTLED[name] + ESTIMATED[name] for name in SETTLED})


@pytest.mark.parametrize("call", [ask, read])
@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_refused_request_used_nothing_but_a_request(
    provider: Provider, call: Callable[..., None], status: int
) -> None:
    provider.status = status
    with Router([provider.row(**EVERY)], num_retries=0, max_wait=0.1) as router:
        with pytest.raises(TurnoutError):
            call(router)
        assert used(router) == REFUNDED


def test_a_broken_stream_keeps_its_estimate(provider: Provider) -> None:
    provider.cut = True
    with Router([provider.row(**EVERY)], num_retries=0) as router:
        read(router)
        assert used(router) == ESTIMATED


def test_what_was_not_sent_uses_nothing(provider: Provider) -> None:
    with Router([provider.row(**{**EVERY, "model": "anthropic/claude-x"})], num_retries=0) as router:
        with pytest.raises(TurnoutError):
            router.responses("gpt", "hi", truncation="auto", background=True)
        assert not provider.server.seen
        assert used(router) == dict.fromkeys(SETTLED, 0)


def test_looking_at_a_response_costs_a_request_and_no_tokens(provider: Provider) -> None:
    with Router([provider.row(**EVERY)]) as router:
        first = router.responses("gpt", "hi")
        before = used(router)
        router.get_responses(first.id)
        assert used(router) == {name: before[name] + (name in ("rpm", "rpd")) for name in before}


def test_a_budget_that_is_used_up_ends_at_once_and_says_so(provider: Provider) -> None:
    provider.usage = {"input_tokens": 0, "output_tokens": 50, "total_tokens": 50}
    row = provider.row(max_budget=1.0, budget_duration="1d", **PRICES)
    with Router([row], num_retries=0) as router:
        ask(router)
        ask(router)
        begun = time.monotonic()
        with pytest.raises(NoDeploymentAvailable, match=r"max_budget of \$1 per 1d reached") as caught:
            ask(router)
        assert time.monotonic() - begun < 5
        assert 80_000 < (caught.value.retry_after or 0) < 90_000
        assert used(router) == {"max_budget": 1.0}


def test_a_providers_budget_is_shared_by_its_deployments(provider: Provider) -> None:
    provider.usage = {"input_tokens": 0, "output_tokens": 50, "total_tokens": 50}
    rows = [provider.row(name, **PRICES) for name in ("a", "b")]
    free = {**provider.row("c", model="hosted_vllm/m"), "model_name": "other"}
    budget = {"openai": {"budget_limit": 1.0, "time_period": "1d"}}
    checks = ["router_budget_limiting"]
    with Router([*rows, free], provider_budget_config=budget, optional_pre_call_checks=checks) as router:
        ask(router)
        ask(router)
        with pytest.raises(NoDeploymentAvailable, match=r"provider_budget_config.openai of \$1 per 1d"):
            ask(router)
        assert [one.state for one in router.status()] == ["full", "full", "ready"]
        with pytest.raises(ConfigError, match=r"'d'.*input_cost_per_token"):
            router.add_deployment(provider.row("d"))
        with pytest.raises(ConfigError, match="'d'"):
            router.set_model_list([*rows[1:], provider.row("d")])
        assert [one.id for one in router.status()] == ["a", "b", "c"], "nothing changed"


def test_a_changed_limit_keeps_what_was_used(provider: Provider) -> None:
    with Router([provider.row(rpm=5, tpm=1000)], max_wait=0) as router:
        for _ in range(3):
            ask(router)
        router.upsert_deployment(provider.row(rpm=3))
        assert used(router) == {"rpm": 3}
        with pytest.raises(NoDeploymentAvailable, match="rpm limit of 3 reached"):
            ask(router)
        router.upsert_deployment(provider.row())
        ask(router)
        assert used(router) == {}


def test_limits_may_stand_in_model_info() -> None:
    info = {"tpm": 7, "itpm": 8, "max_budget": 2, "budget_duration": "1mo", **PRICES}
    row = {"model_name": "g", "litellm_params": {"model": "openai/m", "api_key": "k", "tpm": 5}, "model_info": info}
    (spec,) = parse_model_list([row], {})
    told = {quota.name: (quota.limit, quota.period, quota.unit) for quota in spec.quotas}
    assert told == {
        "tpm": (5, 60.0, "tokens"),
        "itpm": (8, 60.0, "input"),
        "max_budget": (2_000_000_000, 30 * 86_400.0, "money"),
    }
    assert spec.tpm == 5


# --- what the provider says


def left(what: str, amount: int, reset: str = "30s") -> dict[str, str]:
    return {f"x-ratelimit-remaining-{what}": str(amount), f"x-ratelimit-reset-{what}": reset}


@pytest.mark.parametrize("call", [ask, read])
@pytest.mark.parametrize("status", [200, 429])
def test_a_provider_with_no_requests_left_is_not_asked(
    provider: Provider, call: Callable[..., None], status: int
) -> None:
    provider.status, provider.headers = status, left("requests", 0)
    with Router([provider.row()], num_retries=0, max_wait=0) as router:
        if status == 200:
            call(router)
        else:
            with pytest.raises(TurnoutError):
                call(router)
        (one,) = router.status()
        assert one.success_rate == 1.0
        assert one.consecutive_failures == 0
        assert one.available_in > 20
        with pytest.raises(NoDeploymentAvailable):
            call(router)
        assert len(provider.server.seen) == 1


def test_a_stream_that_is_running_tells_already(provider: Provider) -> None:
    provider.headers = left("requests", 0)
    over = threading.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = provider.answer(await read_request(reader))
        head = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        writer.write(f"HTTP/1.1 200 OK\r\n{head}content-length: {len(answer.data)}\r\n\r\n".encode())
        middle = answer.data.index(b"event: response.output_text.done")
        writer.write(answer.data[:middle])
        while not over.is_set():
            await asyncio.sleep(0.01)
        writer.write(answer.data[middle:])
        await writer.drain()

    with listening(talk) as provider.server.url, Router([provider.row(rpd=5)], max_wait=0) as router:
        try:
            with router.responses("gpt", "hi", stream=True) as stream:
                next(stream)
                (one,) = router.status()
                assert (one.state, one.in_flight) == ("full", 1)
                over.set()
                assert [event.type for event in stream][-1] == "response.completed"
        finally:
            over.set()


def test_a_call_larger_than_what_is_left_goes_elsewhere(provider: Provider) -> None:
    provider.headers = left("tokens", 100)
    with Router([provider.row("a"), provider.row("b", order=2)], max_wait=0) as router:
        ask(router)
        assert router.responses("gpt", "hi", max_output_tokens=300).route.deployment == "b"
        assert router.responses("gpt", "hi", max_output_tokens=20).route.deployment == "a"
        with pytest.raises(NoDeploymentAvailable, match=r"the provider has \d+ tokens left"):
            router.responses("gpt", "hi", max_output_tokens=300)


def test_what_the_provider_says_never_loosens_a_limit(provider: Provider) -> None:
    provider.headers = left("requests", 1000)
    with Router([provider.row(rpm=1)], max_wait=0) as router:
        ask(router)
        with pytest.raises(NoDeploymentAvailable, match="rpm limit of 1 reached"):
            ask(router)


def test_when_it_is_over_the_deployment_is_asked_again(provider: Provider) -> None:
    provider.headers = left("requests", 0, "200ms")
    with Router([provider.row()], max_wait=5) as router:
        ask(router)
        ask(router)
        assert len(provider.server.seen) == 2


# --- several processes


def test_routers_share_a_limit_and_give_back_what_they_do_not_use(provider: Provider, valkey: ValkeyServer) -> None:
    with ExitStack() as stack:
        routers = [
            stack.enter_context(Router([provider.row(rpm=30)], redis_url=valkey.url, max_wait=0.3)) for _ in range(3)
        ]
        served, refused = 0, 0
        for number in range(90):
            if refused == 6:
                break
            try:
                ask(routers[number % 3])
                served += 1
            except NoDeploymentAvailable as error:
                assert "by all processes together" in str(error)
                refused += 1
        assert 30 <= served <= 30 + len(routers)
    (key,) = list(valkey.client().scan_iter("*:limits:*"))
    with valkey.client(decode_responses=True) as client:
        leases = [value for name, value in client.hgetall(key).items() if name.startswith("l:")]
        counted = client.hget(key, "w:requests:60000").split()[1::2]
    assert [lease.split()[-1] for lease in leases] == ["0", "0", "0"]
    assert sum(map(int, counted)) == served


def test_without_the_store_calls_go_on_and_money_does_not(provider: Provider, valkey: ValkeyServer) -> None:
    provider.usage = {"input_tokens": 0, "output_tokens": 1, "total_tokens": 1}
    rows = [
        provider.row("paced", rpm=1000),
        {**provider.row("priced", max_budget=1000.0, budget_duration="1d", **PRICES), "model_name": "dear"},
    ]
    with Router(rows, redis_url=valkey.url, max_wait=0.3, num_retries=0) as router:
        for group in ("gpt", "dear"):
            router.responses(group, "hi", max_output_tokens=20)
        valkey.kill()
        for _ in range(60):
            ask(router)
        spent, refused = 0, None
        while refused is None and spent < 500:
            try:
                router.responses("dear", "hi", max_output_tokens=500)
                spent += 1
            except NoDeploymentAvailable as error:
                refused = str(error)
        assert "by all processes together" in (refused or "calls go on")
        assert used(router, "priced")["max_budget"] <= 20 + 5, "its lease, 2 %, and no more"
