"""What a caller names goes nowhere else and harms nobody else: model names under wildcards, ids, headers."""

import asyncio
from typing import Any

import pytest

from tests.conftest import in_flight
from tests.servers import Answer, Asked, Server, serving
from turnout import ConfigError, NotFoundError, Router, TurnoutError

PATHS = {
    "gemini": {},
    "vertex_ai": {"vertex_project": "mine"},
    "azure": {"api_version": "2024-10-21", "wire": "openai-chat"},
    "bedrock": {"aws_region_name": "us-east-1"},
    "sagemaker": {"aws_region_name": "us-east-1"},
    "replicate": {},
    "nlp_cloud": {},
}
"""Providers whose addresses hold the model's name."""
NAMES = ["../../account", "x/../../y", "%2e%2e/x", "a\r\nX-Evil: 1", "é\ud800", "x%2f..%2fy", "/x", "x/"]


def refuse(asked: Asked) -> Answer:
    return Answer(400, {"error": {"message": "the server was reached"}})


def wildcard(provider: str, server: Server, **settings: Any) -> Router:
    params = {"model": f"{provider}/*", "api_base": server.url, "api_key": "key-of-mine", **PATHS.get(provider, {})}
    rows = [{"model_name": "*", "litellm_params": params, "model_info": {"id": "wild"}}]
    return Router(rows, num_retries=2, **settings)


@pytest.mark.parametrize("provider", PATHS)
def test_a_name_that_leads_elsewhere_is_not_sent(provider: str) -> None:
    with serving(refuse) as server, wildcard(provider, server) as router:
        for name in NAMES:
            with pytest.raises(TurnoutError, match="cannot be part of an address"):
                router.responses(name, "x", timeout=3)
            with pytest.raises(TurnoutError, match="cannot be part of an address"):
                asyncio.run(router.aresponses(name, "x", timeout=3, stream=True))
        (one,) = router.status()
        assert (one.state, one.consecutive_failures, one.success_rate) == ("ready", 0, 1.0)
        assert in_flight(router) == 0
    assert not server.seen


@pytest.mark.parametrize("provider", PATHS)
def test_other_names_stay_within_their_segment(provider: str) -> None:
    reached = pytest.raises(TurnoutError, match="the server was reached")
    with serving(refuse) as server, wildcard(provider, server) as router, reached:
        router.responses("a b?x=1#&y", "x", timeout=3)
    assert "a%20b%3Fx%3D1%23%26y" in server.last.target
    assert "x=1" not in server.last.query


def test_an_id_is_one_segment_too() -> None:
    rows = [{"model_name": "g", "litellm_params": {"model": "openai/x", "api_key": "key-of-mine"}}]
    with serving(refuse) as server:
        rows[0]["litellm_params"]["api_base"] = server.url  # type: ignore[index]
        with Router(rows, accept_raw_ids=True) as router:
            for name in ("..", ".", "resp_/../x", "resp_a?b", "resp_\r\n", "../../models", "\ud800"):
                for call in (router.get_responses, router.delete_responses, router.list_input_items):
                    with pytest.raises(NotFoundError):
                        call(name)
    assert not server.seen


HEADERS: list[Any] = [{"X-User": "bob\r\nX-Evil: 1"}, {"X-User": 5}, {"a b": "c"}, {"Host": "elsewhere"}, {"x": "\0"}]


@pytest.mark.parametrize("given", HEADERS, ids=ascii)
def test_a_header_that_breaks_the_request_benches_nobody(given: Any) -> None:
    params = {"model": "openai/x", "api_key": "key-of-mine"}
    with serving(refuse) as server:
        row = {"model_name": "g", "litellm_params": {**params, "api_base": server.url}}
        with Router([row], num_retries=3) as router:
            for _ in range(8):
                with pytest.raises(ConfigError, match="extra_headers"):
                    router.responses("g", "x", extra_headers=given)
                with pytest.raises(ConfigError, match="extra_headers"):
                    asyncio.run(router.aresponses("g", "x", extra_headers=given))
            (one,) = router.status()
            assert (one.state, one.success_rate) == ("ready", 1.0)
            with pytest.raises(TurnoutError, match="the server was reached"):
                router.responses("g", "innocent", extra_headers={"X-User": "alice", "X-None": None})
        with pytest.raises(ConfigError, match=r"model_list\[0\].litellm_params.extra_headers"):
            Router([{"model_name": "g", "litellm_params": {**row["litellm_params"], "extra_headers": given}}])
    assert [one.headers.get("x-user") for one in server.seen] == ["alice"]


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        ("openai/x", "api_key", "key\r\nX-Evil: 1"),
        ("openai/x", "organization", "org\nX-Evil: 1"),
        ("openai/x", "project", "proj\0"),
        ("openai/x", "api_base", "https://host/\x00path"),
        ("azure/x", "api_version", "2024-10-21\r\n"),
        ("azure/x", "azure_ad_token", "token\r\n"),
        ("vertex_ai/gemini-x", "vertex_location", "evil.example/x"),
        ("vertex_ai/gemini-x", "vertex_project", "../other"),
        ("bedrock/x", "aws_region_name", "us-east-1.evil.example/"),
        ("watsonx/x", "watsonx_region_name", "a.b"),
    ],
)
def test_a_row_that_breaks_its_requests_is_refused(model: str, name: str, value: str) -> None:
    given = {"model": model, "api_key": "key-of-mine", "vertex_project": "p", "project_id": "p", name: value}
    wanted = {"vertex_ai": {"vertex_project"}, "watsonx": {"project_id"}}.get(model.partition("/")[0], set())
    params = {key: one for key, one in given.items() if key in {"model", "api_key", name} | wanted}
    if name == "azure_ad_token":
        del params["api_key"]
    if model.startswith("azure"):
        params["api_base"] = "https://mine.openai.azure.com"
    with pytest.raises(ConfigError, match=name) as caught:
        Router([{"model_name": "g", "litellm_params": params}])
    assert value not in str(caught.value)


def test_a_token_that_no_header_can_carry_is_the_deployments_failure() -> None:
    with serving(refuse) as server:
        params = {"model": "azure/x", "api_base": server.url, "azure_ad_token_provider": lambda: "token\r\nX-Evil: 1"}
        with Router([{"model_name": "g", "litellm_params": params}], num_retries=0) as router:
            with pytest.raises(TurnoutError, match="a header cannot carry") as caught:
                router.responses("g", "x")
            assert type(caught.value).__name__ == "AuthenticationError"
    assert not server.seen
