"""Bad input: an error that names the field and the fix, before anything is sent."""

from collections.abc import Callable
from typing import Any

import pytest

from turnout import ConfigError, Router, TurnoutError, UnknownModelError
from turnout.config import parse_model_list

URL = "https://x.openai.azure.com"


def row(group: str = "gpt", info: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    given = {"model": "azure/gpt-4o", "api_key": "k", "api_base": URL, **params}
    found: dict[str, Any] = {"model_name": group, "litellm_params": given}
    return found if info is None else {**found, "model_info": info}


PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
BAD_ROWS: dict[str, tuple[Any, list[str]]] = {
    "empty list": ([], ["model_list", "at least one row"]),
    "no list": ("gpt", ["model_list", "must be a list"]),
    "no mapping": (["gpt"], ["model_list[0]", "must be a mapping"]),
    "no name": ([{"litellm_params": {"model": "openai/x"}}], ["model_list[0].model_name", "string"]),
    "no params": ([{"model_name": "x"}], ["model_list[0].litellm_params", "missing"]),
    "no model": ([{"model_name": "x", "litellm_params": {}}], ["model_list[0].litellm_params.model"]),
    "unknown key": ([{**row(), "modelinfo": {}}], ["model_list[0].modelinfo", "'model_info'"]),
    "unknown parameter": ([row(wieght=2)], ["litellm_params.wieght", "'weight'"]),
    "negative limit": ([row(), row("b", rpm=-5)], ["model_list[1].litellm_params.rpm", "positive integer", "-5"]),
    "limit of zero": ([row(tpm=0)], ["litellm_params.tpm", "positive integer"]),
    "limit as text": ([row(max_parallel_requests="many")], ["max_parallel_requests", "positive integer", "a str"]),
    "tokens a day as a fraction": ([row(tpd=1.5)], ["litellm_params.tpd", "positive integer", "1.5"]),
    "more than can be counted": ([row(tpd=2**53)], ["litellm_params.tpd", "counted exactly"]),
    "budget without a time": ([row(max_budget=5.0)], ["litellm_params.budget_duration", "missing"]),
    "time without a budget": ([row(budget_duration="1d")], ["litellm_params.max_budget", "missing"]),
    "budget of nothing": ([row(max_budget=0, budget_duration="1d", **PRICES)], ["max_budget", "positive number"]),
    "budget beyond counting": ([row(max_budget=1e7, budget_duration="1d", **PRICES)], ["max_budget", "exactly"]),
    "budget of an odd time": ([row(max_budget=5, budget_duration="1 day", **PRICES)], ["budget_duration", '"30d"']),
    "budget without prices": (
        [row(max_budget=5, budget_duration="1d", input_cost_per_token=1e-6)],
        ["model_list[0].litellm_params.output_cost_per_token", "missing", "max_budget"],
    ),
    "flag as number": ([row(order=True)], ["order", "True"]),
    "timeout of zero": ([row(timeout=0)], ["timeout", "positive number"]),
    "infinite timeout": ([row(timeout=float("inf"))], ["timeout", "positive number"]),
    "url without scheme": (
        [row(api_base="x.openai.azure.com")],
        ["model_list[0].litellm_params.api_base", "https://host/path"],
    ),
    "url with a space": ([row(api_base="https://x .com")], ["api_base", "must be a URL"]),
    "url with a password": ([row(api_base="https://me:secret@x.com")], ["api_base", "user name or password"]),
    "bad port": ([row(api_base="https://x.com:port")], ["api_base", "port"]),
    "no azure address": (
        [{"model_name": "x", "litellm_params": {"model": "azure/x", "api_key": "k"}}],
        ["api_base", "AZURE_API_BASE"],
    ),
    "no key": ([{"model_name": "x", "litellm_params": {"model": "openai/x"}}], ["api_key", "OPENAI_API_KEY"]),
    "bad version": ([row(api_version="2025")], ["api_version", "2025-04-01-preview"]),
    "two credentials": ([row(azure_ad_token="t")], ["api_key and azure_ad_token", "one of them"]),
    "token provider is no function": (
        [row(api_key=None, azure_ad_token_provider="t")],
        ["azure_ad_token_provider", "function"],
    ),
    "line break in key": ([row(api_key="k\n")], ["api_key", "line break"]),
    "missing variable": ([row(api_key="os.environ/NOT_THERE")], ["litellm_params.api_key", "NOT_THERE", "not set"]),
    "unknown provider": ([row(model="azur/gpt")], ["model_list[0].litellm_params.model", "'azure'"]),
    "same deployment twice": ([row(), row()], ["model_list[1]", "model_list[0]", "model_info.id"]),
    "same id twice": ([row(info={"id": "a"}), row("b", {"id": "a"})], ["model_list[1]", "'a'", "model_info.id"]),
    "not yet": ([row(aws_region_name="eu-west-1")], ["aws_region_name", "is for AWS"]),
    "tags as text": ([row(tags="eu")], ["tags", "list of strings"]),
    "unknown wire": ([row(wire="smoke-signals")], ["wire", "openai-responses"]),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows(case: str) -> None:
    rows, words = BAD_ROWS[case]
    with pytest.raises(ConfigError) as caught:
        Router(rows)
    for word in words:
        assert word in str(caught.value)
    assert "secret" not in str(caught.value)


async def wait(event: object) -> None:
    """A callback that awaits."""


class Waits:
    async def pick(self, candidates: Any, pick: Any) -> Any:
        return candidates[0]


BAD_SETTINGS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown keyword": ({"num_retrys": 2}, ["num_retrys", "'num_retries'"]),
    "unknown strategy": ({"routing_strategy": "least-bussy"}, ["routing_strategy", "'least-busy'"]),
    "strategy class": ({"routing_strategy": ConfigError}, ["routing_strategy", "pass an instance"]),
    "strategy without pick": ({"routing_strategy": object()}, ["routing_strategy", "pick"]),
    "unknown check": ({"optional_pre_call_checks": ["responses_api_deployment"]}, ["responses_api_deployment_check"]),
    "check without reject": ({"optional_pre_call_checks": [object()]}, ["optional_pre_call_checks[0]", "reject"]),
    "checks as text": ({"optional_pre_call_checks": "tags"}, ["optional_pre_call_checks", "list"]),
    "affinity that lasts no time": (
        {"deployment_affinity_ttl_seconds": 0},
        ["deployment_affinity_ttl_seconds", "positive"],
    ),
    "affinity of no group": (
        {"model_group_affinity_config": {"gtp": ["session_affinity"]}},
        ["model_group_affinity_config.gtp", "'gpt'"],
    ),
    "affinity of no kind": (
        {"model_group_affinity_config": {"gpt": ["session_afinity"]}},
        ["model_group_affinity_config.gpt[0]", "'session_affinity'"],
    ),
    "affinities as text": ({"model_group_affinity_config": {"gpt": "session_affinity"}}, ["config.gpt", "list"]),
    "negative retries": ({"num_retries": -1}, ["num_retries", "0 or more", "-1"]),
    "retries as text": ({"num_retries": "two"}, ["num_retries", "a str"]),
    "negative timeout": ({"timeout": -1}, ["timeout", "positive number"]),
    "negative fails": ({"allowed_fails": -1}, ["allowed_fails"]),
    "unknown fallback": ({"fallbacks": [{"gpt": ["gtp-large"]}]}, ["fallbacks[0].gpt[0]", "'gpt-large'"]),
    "fallback of nobody": ({"fallbacks": [{"gtp": ["gpt-large"]}]}, ["fallbacks[0]", "'gtp'"]),
    "fallbacks as text": ({"fallbacks": "gpt"}, ["fallbacks", "list"]),
    "unknown alias target": ({"model_group_alias": {"x": "nothing"}}, ["model_group_alias.x", "nothing"]),
    "short secret": ({"id_secret": "short"}, ["id_secret", "16 characters"]),
    "empty secrets": ({"id_secret": []}, ["id_secret", "empty"]),
    "unknown policy": (
        {"retry_policy": {"TimeoutRetries": 1}},
        ["retry_policy.TimeoutRetries", "'TimeoutErrorRetries'"],
    ),
    "callback": ({"callbacks": ["print"]}, ["callbacks[0]", "function"]),
    "async callback": ({"callbacks": [wait]}, ["callbacks[0]", "plain function"]),
    "async strategy": ({"routing_strategy": Waits()}, ["routing_strategy", "must not wait"]),
    "store": ({"store": {}}, ["store", "method set"]),
    "budget of an unknown provider": (
        {"provider_budget_config": {"opnai": {"budget_limit": 1, "time_period": "1d"}}},
        ["provider_budget_config.opnai", "'openai'"],
    ),
    "budget without a limit": (
        {"provider_budget_config": {"azure": {"time_period": "1d"}}},
        ["provider_budget_config.azure", "limit is missing", "budget_limit"],
    ),
    "budget without a period": (
        {"provider_budget_config": {"azure": {"budget_limit": 1}}},
        ["provider_budget_config.azure", "period is missing", "time_period"],
    ),
    "budget with an unknown field": (
        {"provider_budget_config": {"azure": {"budgetlimit": 1, "time_period": "1d"}}},
        ["provider_budget_config.azure.budgetlimit", "'budget_limit'"],
    ),
    "budget of a provider without prices": (
        {"provider_budget_config": {"azure": {"budget_limit": 1, "time_period": "1d"}}},
        ["provider_budget_config.azure", "input_cost_per_token", "output_cost_per_token"],
    ),
    "limits without a store": ({"limits_without_store": {"money": "open"}}, ["limits_without_store.money", '"share"']),
    "unknown limits": ({"limits_without_store": {"tokens": "share"}}, ["limits_without_store.tokens", "pacing"]),
    "not supported": ({"cache_responses": True}, ["cache_responses", "not supported yet"]),
    "flag as text": ({"disable_cooldowns": "yes"}, ["disable_cooldowns", "True or False"]),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_bad_settings(case: str) -> None:
    settings, words = BAD_SETTINGS[case]
    with pytest.raises(ConfigError) as caught:
        Router([row(), row("gpt-large")], **settings)
    for word in words:
        assert word in str(caught.value)


BAD_CALLS: dict[str, tuple[Callable[[Router], Any], list[str]]] = {
    "unknown group": (lambda router: router.responses("gtp", "hi"), ["model", "'gpt'"]),
    "no model": (lambda router: router.responses("", "hi"), ["model"]),
    "model of wrong type": (lambda router: router.responses(5, "hi"), ["model", "5"]),  # type: ignore[call-overload]
    "no input": (lambda router: router.responses("gpt"), ["input", "missing"]),
    "input of wrong type": (lambda router: router.responses("gpt", 5), ["input", "int"]),
    "unknown keyword": (lambda router: router.responses("gpt", "hi", temprature=1), ["temprature", "'temperature'"]),
    "strange keyword": (lambda router: router.responses("gpt", "hi", zzz=1), ["zzz", "extra_body"]),
    "negative timeout": (lambda router: router.responses("gpt", "hi", timeout=-1), ["timeout", "-1"]),
    "stream as text": (lambda router: router.responses("gpt", "hi", stream="yes"), ["stream", "yes"]),
    "tags": (lambda router: router.responses("gpt", "hi", tags="eu"), ["tags", "list"]),
    "fallback": (lambda router: router.responses("gpt", "hi", fallbacks=["nowhere"]), ["nowhere"]),
    "headers": (lambda router: router.responses("gpt", "hi", extra_headers="x"), ["extra_headers", "mapping"]),
    "not json": (lambda router: router.responses("gpt", [object()]), ["JSON"]),
    "response id": (lambda router: router.get_responses(""), ["response_id"]),
    "query": (lambda router: router.list_input_items("resp_x", limits=3), ["limits", "'limit'"]),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls(case: str) -> None:
    call, words = BAD_CALLS[case]
    with Router([row()]) as router, pytest.raises(TurnoutError) as caught:
        call(router)
    for word in words:
        assert word in str(caught.value)


def test_unknown_model_is_a_config_error_with_a_status() -> None:
    with Router([row()]) as router, pytest.raises(UnknownModelError) as caught:
        router.responses("other", "hi")
    assert caught.value.status_code == 404


ADDRESSES = {
    ("https://X.openai.azure.com/", None): "https://x.openai.azure.com/openai/v1",
    ("https://x.openai.azure.com/openai", "v1"): "https://x.openai.azure.com/openai/v1",
    ("https://x.openai.azure.com/openai/v1/", None): "https://x.openai.azure.com/openai/v1",
    ("https://x.openai.azure.com/openai/v1/responses", None): "https://x.openai.azure.com/openai/v1",
    (
        "https://x.openai.azure.com",
        "2025-03-01-preview",
    ): "https://x.openai.azure.com/openai?api-version=2025-03-01-preview",
    (
        "https://x.openai.azure.com/openai/responses?api-version=2025-04-01-preview",
        None,
    ): "https://x.openai.azure.com/openai?api-version=2025-04-01-preview",
    (
        "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-06-01",
        None,
    ): "https://x.openai.azure.com/openai?api-version=2024-06-01",
    ("http://127.0.0.1:8000/eastus", "preview"): "http://127.0.0.1:8000/eastus/openai/v1?api-version=preview",
}


@pytest.mark.parametrize(("given", "meant"), ADDRESSES.items())
def test_azure_addresses_in_all_spellings(given: tuple[str, str | None], meant: str) -> None:
    spec = parse_model_list([row(api_base=given[0], api_version=given[1])], {})[0]
    query = f"?{spec.target.query}" if spec.target.query else ""
    assert spec.target.base_url + query == meant


def test_what_identifies_a_deployment() -> None:
    def spec(**changes: Any) -> Any:
        return parse_model_list([row(**changes)], {})[0]

    same = spec()
    for changes in (
        {"api_key": "rotated"},
        {"weight": 5},
        {"timeout": 9},
        {"group": "renamed"},
        {"rpm": 7},
        {"api_version": "v1"},
    ):
        assert spec(**changes).id == same.id, changes
        assert spec(**changes).domain == same.domain
    assert spec(model="azure/other").id != same.id
    assert spec(model="azure/other").domain == same.domain
    assert spec(api_base="https://y.openai.azure.com").domain != same.domain
    assert spec(model="azure_ai/gpt-4o").domain == same.domain


def test_what_identifies_an_account_that_only_its_key_tells_apart() -> None:
    def spec(key: str, **info: Any) -> Any:
        params = {"model": "openai/gpt-4o", "api_key": key}
        return parse_model_list([{"model_name": "g", "litellm_params": params, "model_info": info}], {})[0]

    assert spec("sk-1").domain != spec("sk-2").domain
    assert spec("sk-1", account="team").domain == spec("sk-2", account="team").domain
    assert spec("sk-1", account="team").id == spec("sk-2", account="team").id
    assert "sk-1" not in spec("sk-1").domain
    assert "sk-1" not in repr(spec("sk-1"))
    assert "sk-1" not in repr(spec("sk-1").target)


def test_references_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = parse_model_list(
        [row(api_key="os.environ/KEY", extra_headers={"x-team": "${TEAM}"})], {"KEY": "k1", "TEAM": "t"}
    )[0]
    assert ("api-key", "k1") in spec.target.headers
    assert spec.extra_headers == {"x-team": "t"}
    monkeypatch.setenv("AZURE_API_KEY", "from-env")
    monkeypatch.setenv("AZURE_API_BASE", URL)
    with Router([{"model_name": "x", "params": {"model": "azure/gpt"}}]) as router:
        assert router.status()[0].base_url == f"{URL}/openai/v1"


def test_the_same_upstream_in_two_groups_is_two_deployments() -> None:
    specs = parse_model_list([row("a"), row("b")], {})
    assert specs[0].id != specs[1].id
    assert specs[0].domain == specs[1].domain


def test_yaml(tmp_path: Any) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "model_list:\n- model_name: gpt\n  litellm_params:\n    model: azure/gpt\n    api_key: k\n"
        f"    api_base: {URL}\n    region_name: no\nrouter_settings:\n  num_retries: 1\n"
    )
    with Router.from_yaml(path) as router:
        assert router.status()[0].model_group == "gpt"
    path.write_text("model_list: 5")
    with pytest.raises(ConfigError, match="model_list must be a list"):
        Router.from_yaml(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        Router.from_yaml(tmp_path / "missing.yaml")
