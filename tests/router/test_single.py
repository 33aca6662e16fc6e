"""Single calls, as LiteLLM's documentation shows them, with the import changed."""

import asyncio

import pytest

import turnout as litellm
from turnout import AuthenticationError, ConfigError, NotFoundError
from turnout.sim.fake_cloud import FakeCloud


@pytest.fixture(autouse=True)
def environment(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TURNOUT_ID_SECRET")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("OPENAI_BASE_URL", cloud["eastus"].url + "/v1")
    monkeypatch.setenv("AZURE_API_KEY", "azure-1")
    monkeypatch.setenv("AZURE_API_BASE", cloud["westus"].url)
    cloud["eastus"].api_keys = {"sk-1"}
    cloud["westus"].api_keys = {"azure-1"}


PARAMS = {"input": "Tell me a three sentence bedtime story about a unicorn.", "max_output_tokens": 100}


def test_create_retrieve_delete() -> None:
    response = litellm.responses(model="openai/o1-pro", **PARAMS)
    assert "eastus turn 1" in response.output_text
    again = litellm.get_responses(response_id=response.id)
    assert again.output_text == response.output_text
    assert litellm.delete_responses(response_id=response.id).deleted
    with pytest.raises(NotFoundError):
        litellm.get_responses(response_id=response.id)


def test_the_id_says_which_account(cloud: FakeCloud) -> None:
    first = litellm.responses(model="azure/gpt-4o", **PARAMS)
    assert "westus turn 1" in litellm.get_responses(first.id).output_text
    second = litellm.responses(model="azure/gpt-4o", previous_response_id=first.id, **PARAMS)
    assert "westus turn 2" in second.output_text
    with pytest.raises(NotFoundError):
        litellm.responses(model="openai/gpt-4o", previous_response_id=first.id, **PARAMS)
    assert sum(region.foreign_ids for region in cloud.regions.values()) == 0


def test_streams() -> None:
    kinds = [event.type for event in litellm.responses(model="openai/o1-pro", stream=True, **PARAMS)]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


def test_async() -> None:
    async def run() -> None:
        response = await litellm.aresponses(model="openai/o1-pro", **PARAMS)
        assert (await litellm.aget_responses(response.id)).id == response.id
        text = ""
        async for event in await litellm.aresponses(model="openai/o1-pro", stream=True, **PARAMS):
            if event.type == "response.output_text.delta":
                text += event.delta
        assert "eastus turn 1" in text
        assert (await litellm.adelete_responses(response.id)).deleted

    asyncio.run(run())


def test_a_providers_own_id_is_taken_where_only_one_account_can_be_meant(cloud: FakeCloud) -> None:
    litellm.responses(model="openai/o1-pro", **PARAMS)
    raw = next(iter(cloud["eastus"].responses))
    assert litellm.get_responses(raw, custom_llm_provider="openai").status == "completed"
    with pytest.raises(NotFoundError):
        litellm.get_responses(raw)


COMPUTER = [{"type": "computer_use_preview", "display_width": 1024, "display_height": 768, "environment": "browser"}]
MCP = [{"type": "mcp", "server_label": "zapier", "server_url": "https://mcp.example.com", "require_approval": "always"}]


def test_tools_and_approvals_pass_through_untouched(cloud: FakeCloud) -> None:
    approval = [{"type": "mcp_approval_response", "approve": True, "approval_request_id": "mcpr_1"}]
    for model, tools, given in (
        ("openai/computer-use-preview", COMPUTER, [{"role": "user", "content": "Check the news"}]),
        ("azure/gpt-4.1", MCP, approval),
    ):
        extra = {"truncation": "auto", "reasoning": {"summary": "concise"}, "prompt_cache_key": "k", "top_logprobs": 3}
        litellm.responses(model=model, tools=tools, input=given, extra_body={"brand_new": {"a": 1}}, **extra)
        region = "eastus" if model.startswith("openai") else "westus"
        sent = dict(cloud[region].journal[-1].body)
        assert sent == {
            "model": model.partition("/")[2],
            "tools": tools,
            "input": given,
            "brand_new": {"a": 1},
            **extra,
        }


def test_errors_name_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        litellm.responses(model="openai/o1-pro", **PARAMS)
    with pytest.raises(AuthenticationError):
        litellm.responses(model="openai/o1-pro", api_key="wrong", **PARAMS)
