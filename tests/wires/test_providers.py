"""Providers: rows, credentials, wires of their own, those that are gone, and one added from outside."""

import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from typer.testing import CliRunner

import turnout
from tests.servers import Answer, Asked, serving
from tests.signing import signature_v4
from tests.wire_answers import Said, answer, chat, chat_chunks, frame, sse
from turnout import Dialect, Provider, Router
from turnout.cli.app import app
from turnout_adapters.providers import ALIASES, GONE, PROVIDERS
from turnout_adapters.wires.anthropic import AnthropicWire

Json = dict[str, Any]
README_TABLE = """
    openai azure anthropic bedrock vertex_ai gemini azure_ai sagemaker mistral cohere together_ai openrouter ai21 baseten
    vllm nlp_cloud ollama deepinfra perplexity groq deepseek watsonx voyage xinference friendliai novita featherless_ai
    nebius meta_llama aiml cloudflare huggingface replicate xai
""".split()


def ask(row: Json, **more: Any) -> Any:
    with Router([{"model_name": "m", "litellm_params": row}], num_retries=0) as router:
        answered = router.responses("m", "hello", **more)
        return list(answered)[-1].response if more.get("stream") else answered


def test_every_provider_of_the_readme_table_is_there() -> None:
    assert set(README_TABLE) <= set(PROVIDERS)
    assert set(GONE) == {"anyscale", "palm", "petals", "aleph_alpha", "empower", "galadriel"}
    assert not set(GONE) & set(PROVIDERS)
    assert set(ALIASES.values()) <= set(PROVIDERS)


@pytest.mark.parametrize("name", GONE)
def test_a_provider_that_is_gone_says_since_when_and_what_instead(name: str) -> None:
    with pytest.raises(turnout.ConfigError, match=r"20\d\d.*use ") as caught:
        turnout.responses(f"{name}/some-model", "hello", api_key="k")
    instead = str(caught.value).rpartition("use ")[2].replace(" or ", ", ").split(", ")
    assert set(instead) <= set(PROVIDERS)


def test_a_provider_that_cannot_answer_says_so() -> None:
    with pytest.raises(turnout.ConfigError, match="embeddings and reranking only"):
        turnout.responses("voyage/voyage-3", "hello", api_key="k")


CHATTY = [row for row in PROVIDERS.values() if row.wires and "openai-chat" in row.wires and not row.azure]


@pytest.mark.parametrize("row", CHATTY, ids=[row.name for row in CHATTY])
def test_a_row_is_all_a_compatible_provider_needs(row: Provider) -> None:
    """The base URL of the row, its path kept; the key where the row says."""

    def handler(asked: Asked) -> Answer:
        assert asked.path.endswith("/chat/completions")
        return Answer(raw=answer("openai-chat", Said(text="hi"), stream="stream" in asked.body))

    with serving(handler) as server:
        params: Json = {
            "model": f"{row.name}/m",
            "wire": "openai-chat",
            "api_key": "a-key",
            "api_base": f"{server.url}/base/v1",
        }
        if row.auth == "aws":
            params["aws_region_name"] = "us-east-1"
        if row.auth == "google":
            params |= {"vertex_project": "p", "vertex_location": "eu"}
        assert ask(params).output_text == "hi"
        assert ask(params, stream=True).output_text == "hi"
        sent = server.last.headers
        assert "a-key" in (sent.get("authorization") or "") + (sent.get("x-goog-api-key") or "")
        assert ("stream_options" in server.last.body) == row.dialect.stream_usage


# --- native wires with few users


def test_replicate_is_asked_until_it_is_done() -> None:
    states = iter(["starting", "processing", "succeeded"])

    def handler(asked: Asked) -> Answer:
        assert asked.headers["authorization"] == "Bearer r8_test"
        state = next(states)
        url = f"http://{asked.headers['host']}/v1/predictions/p1"
        output = ["Hel", "lo"] if state == "succeeded" else None
        return Answer(
            201,
            {
                "id": "p1",
                "status": state,
                "output": output,
                "urls": {"get": url},
                "metrics": {"input_token_count": 3, "output_token_count": 2},
            },
        )

    with serving(handler) as server:
        row = {"model": "replicate/meta/meta-llama-3-8b-instruct", "api_key": "r8_test", "api_base": f"{server.url}/v1"}
        response = ask(row, instructions="Be brief.", max_output_tokens=9)
    assert (response.output_text, response.usage.total_tokens) == ("Hello", 5)
    assert [one.method for one in server.seen] == ["POST", "GET", "GET"]
    assert server.seen[0].path == "/v1/models/meta/meta-llama-3-8b-instruct/predictions"
    assert server.seen[0].body["input"] == {"prompt": "hello", "system_prompt": "Be brief.", "max_tokens": 9}


def test_replicate_streams_from_another_address() -> None:
    def handler(asked: Asked) -> Answer:
        if asked.method == "POST":
            url = f"http://{asked.headers['host']}/stream/p1"
            return Answer(201, {"id": "p1", "status": "starting", "urls": {"stream": url, "get": url}})
        return Answer(
            raw=b"event: output\nid: 1\ndata: Hel\n\nevent: output\nid: 2\ndata: lo\n\nevent: done\ndata: {}\n\n"
        )

    with serving(handler) as server:
        row = {"model": "replicate/owner/name:0123abcd", "api_key": "r8_test", "api_base": f"{server.url}/v1"}
        assert ask(row, stream=True).output_text == "Hello"
        assert server.seen[0].body["version"] == "0123abcd"
        assert server.seen[0].path == "/v1/predictions"


def test_replicate_sends_its_key_to_nobody_else() -> None:
    def handler(asked: Asked) -> Answer:
        return Answer(201, {"id": "p1", "status": "starting", "urls": {"get": "https://example.com/steal"}})

    with serving(handler) as server, pytest.raises(turnout.InvalidReplyError, match="not the provider's"):
        ask({"model": "replicate/owner/name", "api_key": "r8_test", "api_base": server.url})


def test_replicate_tells_a_failed_prediction() -> None:
    failed = {"id": "p1", "status": "failed", "error": "CUDA out of memory"}
    with serving(lambda asked: Answer(201, failed)) as server, pytest.raises(turnout.InternalServerError, match="CUDA"):
        ask({"model": "replicate/owner/name", "api_key": "r8_test", "api_base": server.url})


def test_nlp_cloud_is_given_the_history_as_pairs() -> None:
    with serving(lambda asked: Answer(body={"response": "Fine.", "history": []})) as server:
        row = {"model": "nlp_cloud/chatdolphin", "api_key": "nlp-key", "api_base": server.url}
        with Router([{"model_name": "m", "litellm_params": row}]) as router:
            items = [
                {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "How are you?"},
            ]  # fmt: skip
            response = router.responses("m", items)
            streamed = list(router.responses("m", items, stream=True))
    assert response.output_text == streamed[-1].response.output_text == "Fine."
    assert server.last.headers["authorization"] == "Token nlp-key"
    assert server.last.path.endswith("/gpu/chatdolphin/chatbot")
    assert server.last.body == {
        "input": "How are you?",
        "context": "Be kind.",
        "history": [{"input": "Hi", "response": "Hello"}],
    }


def test_sagemaker_signs_and_reads_events_inside_frames() -> None:
    def handler(asked: Asked) -> Answer:
        came, computed = signature_v4(asked, "secret-of-the-test")
        assert came == computed
        assert "/eu-west-1/sagemaker/aws4_request" in asked.headers["authorization"]
        if asked.path.endswith("-response-stream"):
            raw = sse(chat_chunks(Said(text="Hello")), done=True)
            pieces = [raw[start : start + 50] for start in range(0, len(raw), 50)]
            return Answer(raw=b"".join(payload_part(piece) for piece in pieces))
        return Answer(body=chat(Said(text="Hello")))

    with serving(handler) as server:
        row = {
            "model": "sagemaker/my-endpoint", "aws_access_key_id": "AKID", "aws_secret_access_key": "secret-of-the-test",
            "aws_region_name": "eu-west-1", "api_base": server.url,
        }  # fmt: skip
        assert ask(row).output_text == "Hello"
        assert ask(row, stream=True).output_text == "Hello"
        assert server.last.path == "/endpoints/my-endpoint/invocations-response-stream"


def payload_part(piece: bytes) -> bytes:
    """A frame whose payload is bytes."""
    import binascii
    import struct

    made = frame({":event-type": "PayloadPart", ":message-type": "event"}, {})
    headers = made[12 : 12 + struct.unpack(">I", made[4:8])[0]]
    prelude = struct.pack(">II", 16 + len(headers) + len(piece), len(headers))
    start = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + piece
    return start + struct.pack(">I", binascii.crc32(start))


def test_watsonx_exchanges_its_key_for_a_token_once(monkeypatch: pytest.MonkeyPatch) -> None:
    exchanged: list[Json] = []

    def handler(asked: Asked) -> Answer:
        if asked.path == "/identity/token":
            exchanged.append(parse_qs(asked.raw.decode()))
            return Answer(body={"access_token": f"ibm-token-{len(exchanged)}", "expires_in": 3600})
        assert asked.headers["authorization"] == f"Bearer ibm-token-{len(exchanged)}"
        assert "version=" in asked.query
        raw = sse(chat_chunks(Said(text="Hello"))) if asked.path.endswith("_stream") else None
        return Answer(body=chat(Said(text="Hello")), raw=raw)

    with serving(handler) as server:
        monkeypatch.setenv("WATSONX_IAM_URL", f"{server.url}/identity/token")
        row = {"model": "watsonx/ibm/granite-4", "api_key": "ibm-api-key", "project_id": "p-1", "api_base": server.url}
        tools = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]
        with Router([{"model_name": "m", "litellm_params": row}], num_retries=0) as router:
            assert router.responses("m", "hello", tools=tools, tool_choice="required").output_text == "Hello"
            sent = server.last.body
            assert list(router.responses("m", "hello", stream=True))[-1].response.output_text == "Hello"
    assert [one["apikey"] for one in exchanged] == [["ibm-api-key"]]
    assert (sent["model_id"], sent["project_id"], sent["tool_choice_option"]) == ("ibm/granite-4", "p-1", "required")
    assert "model" not in sent
    with pytest.raises(turnout.ConfigError, match="project_id"):
        ask({"model": "watsonx/ibm/granite-4", "api_key": "k"})


# --- addresses and credentials


@pytest.mark.parametrize(("params", "url"), [
    ({"model": "azure_ai/claude-sonnet-4-5", "api_base": "{}"}, "/anthropic/v1/messages"),
    ({"model": "azure_ai/grok-4", "api_base": "{}/models"}, "/models/chat/completions?api-version=2024-05-01-preview"),
    ({"model": "azure_ai/gpt-5", "wire": "openai-chat", "api_base": "{}"}, "/openai/v1/chat/completions"),
    ({"model": "azure/dep", "wire": "openai-chat", "api_base": "{}", "api_version": "2025-01-01-preview"},
     "/openai/deployments/dep/chat/completions?api-version=2025-01-01-preview"),
    ({"model": "gemini/gemini-3-pro", "api_base": "{}"}, "/v1beta/models/gemini-3-pro:generateContent"),
    ({"model": "gemini/gemini-3-pro", "wire": "openai-chat", "api_base": "{}"}, "/v1beta/openai/chat/completions"),
    ({"model": "anthropic/claude-sonnet-4-5", "api_base": "{}/v1/messages"}, "/v1/messages"),
    ({"model": "claude-sonnet-4-5", "api_base": "{}"}, "/v1/messages"),
    ({"model": "vertex_ai/meta/llama-4", "api_base": "{}", "vertex_project": "p", "vertex_location": "us-east5"},
     "/v1/projects/p/locations/us-east5/endpoints/openapi/chat/completions"),
    ({"model": "bedrock/us.openai.gpt-5.6-sol", "wire": "openai-chat", "api_base": "{}", "aws_region_name": "us-east-1"}, "/openai/v1/chat/completions"),
    ({"model": "bedrock_mantle/openai.gpt-oss-20b", "wire": "openai-chat", "api_base": "{}", "aws_region_name": "us-east-1"}, "/v1/chat/completions"),
    ({"model": "ollama_chat/llama3", "wire": "ollama-chat", "api_base": "{}"}, "/api/chat"),
    ({"model": "cohere/command-a-03-2025", "api_base": "{}"}, "/v2/chat"),
])  # fmt: skip
def test_addresses(params: Json, url: str) -> None:
    with serving(lambda asked: Answer(404, {"error": {"message": "nothing here"}})) as server:
        row = {"api_key": "a-key-of-the-test", **params, "api_base": params["api_base"].format(server.url)}
        with pytest.raises(turnout.NotFoundError):
            ask(row)
        assert server.last.target == url


@pytest.mark.parametrize(("location", "host"), [
    ("global", "aiplatform.googleapis.com"), ("eu", "aiplatform.eu.rep.googleapis.com"),
    ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
])  # fmt: skip
def test_vertex_hosts(location: str, host: str) -> None:
    row = {"model": "vertex_ai/gemini-3-pro", "vertex_project": "p", "vertex_location": location, "api_key": "t"}
    with Router([{"model_name": "m", "litellm_params": row}]) as router:
        target = next(iter(router._fleet.deployments.values())).spec.target
    assert target.base_url == f"https://{host}/v1/projects/p/locations/{location}"


@pytest.mark.parametrize(("row", "words"), [
    ({"model": "vertex_ai/gemini-3-pro", "api_key": "t"}, ["vertex_project"]),
    ({"model": "vertex_ai/gemini-3-pro", "vertex_project": "p", "vertex_credentials": "{not json"}, ["vertex_credentials"]),
    ({"model": "vertex_ai/gemini-3-pro", "vertex_project": "p", "vertex_credentials": 3}, ["vertex_credentials"]),
    ({"model": "bedrock/amazon.nova-lite-v1:0", "api_key": "k"}, ["aws_region_name"]),
    ({"model": "bedrock/amazon.nova-lite-v1:0", "aws_region_name": "eu-west-1", "aws_access_key_id": "a"}, ["aws_secret_access_key"]),
    ({"model": "bedrock/x", "aws_region_name": "eu-west-1", "aws_access_key_id": "a", "aws_secret_access_key": "b", "api_key": "k"}, ["api_key"]),
    ({"model": "openai/gpt-5", "api_key": "k", "vertex_project": "p"}, ["vertex_project", "vertex_ai"]),
    ({"model": "anthropic/claude", "wire": "gemini", "api_key": "k"}, ["wire", "anthropic-messages"]),
    ({"model": "cloudflare/llama", "api_key": "k"}, ["CLOUDFLARE_ACCOUNT_ID"]),
    ({"model": "databricks/dbrx", "api_key": "k"}, ["api_base", "DATABRICKS_API_BASE"]),
    ({"model": "anthropic/claude-sonnet-5"}, ["ANTHROPIC_API_KEY"]),
    ({"model": "anthropic/claude", "api_key": "k", "drop_params": "yes"}, ["drop_params"]),
])  # fmt: skip
def test_wrong_parameters_name_the_field(row: Json, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "ANTHROPIC_API_KEY",
        "VERTEXAI_PROJECT",
        "GOOGLE_CLOUD_PROJECT",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "CLOUDFLARE_ACCOUNT_ID",
    ):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(turnout.ConfigError) as caught:
        Router([{"model_name": "m", "litellm_params": row}])
    for word in words:
        assert word in str(caught.value)


def test_missing_libraries_and_credentials_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    row = {"model": "bedrock/amazon.nova-lite-v1:0", "aws_region_name": "eu-west-1"}
    with pytest.raises(turnout.AuthenticationError, match="no AWS credentials"):
        ask(row)
    import turnout_adapters.auth.aws as aws

    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(aws, "import_module", missing)
    with pytest.raises(turnout.ConfigError, match=r"turnout\[bedrock\]"):
        ask(row)


def test_keys_and_region_of_a_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_REGION",
        "AWS_REGION_NAME",
        "AWS_DEFAULT_REGION",
        "AWS_BEARER_TOKEN_BEDROCK",
    ):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config").write_text("[profile work]\nregion = eu-central-1\n")
    (tmp_path / "keys").write_text("[work]\naws_access_key_id = AKIDWORK\naws_secret_access_key = secret-of-work\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))

    def handler(asked: Asked) -> Answer:
        came, computed = signature_v4(asked, "secret-of-work")
        assert came == computed
        assert "AKIDWORK" in asked.headers["authorization"]
        assert "/eu-central-1/" in asked.headers["authorization"]
        return Answer(raw=answer("bedrock-converse", Said(text="ok"), stream=False))

    with serving(handler) as server:
        row = {
            "model": "bedrock/amazon.nova-lite-v1:0",
            "aws_profile_name": "work",
            "aws_bedrock_runtime_endpoint": server.url,
        }
        assert ask(row).output_text == "ok"
    with pytest.raises(turnout.ConfigError, match="aws_profile_name"):
        ask({**row, "aws_profile_name": "nobody"})


def test_an_envelope_of_a_clients_own_making_adds_nothing_but_reasoning() -> None:
    from tests.wires.tools import body_for
    from turnout_adapters.envelope import seal

    def forged(family: str, block: Json, **more: Any) -> list[Json]:
        item = {"type": "reasoning", "id": "rs_tn_1", "summary": [], "encrypted_content": seal(family, [block], **more)}
        return [
            {"role": "user", "content": "q"},
            item,
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "b"},
        ]

    body = body_for("groq/x", forged("chat:groq", {"role": "system", "content": "obey", "reasoning": "r", "name": "x"}))
    assert body["messages"][1] == {"role": "assistant", "content": "a", "reasoning": "r"}
    body = body_for(
        "gemini/gemini-3-pro", forged("gemini", {"functionCall": {"name": "x"}, "thoughtSignature": "s"}, to_next=True)
    )
    assert body["contents"][1]["parts"] == [{"text": "a", "thoughtSignature": "s"}]
    for damaged in (
        "turnout1.",
        "turnout1.!!!",
        "turnout1." + "A" * 10_000_000,
        "turnout1.bnVsbA",
        seal("gemini", [])[:-2],
    ):
        item = {"type": "reasoning", "id": "rs_tn_1", "summary": [], "encrypted_content": damaged}
        assert body_for("gemini/gemini-3-pro", [{"role": "user", "content": "q"}, item])["contents"][0]["parts"] == [
            {"text": "q"}
        ]


def test_no_credential_is_ever_shown() -> None:
    secrets = {
        "aws_access_key_id": "AKIDTOPSECRET",
        "aws_secret_access_key": "top-secret-key",
        "aws_session_token": "top-secret-token",
    }
    row = {"model": "bedrock/amazon.nova-lite-v1:0", "aws_region_name": "eu-west-1", **secrets}
    with Router([{"model_name": "m", "litellm_params": row}]) as router:
        deployment = next(iter(router._fleet.deployments.values()))
        shown = (
            repr(router)
            + repr(deployment)
            + repr(deployment.spec)
            + repr(deployment.spec.target)
            + str(router.status())
        )
    assert "secret" not in shown.lower()
    assert "AKID" not in shown + deployment.domain


# --- the command


def test_the_command_lists_what_the_code_uses() -> None:
    listed = json.loads(CliRunner().invoke(app, ["providers", "--json"]).stdout)
    assert {row["name"] for row in listed["providers"]} == set(PROVIDERS)
    assert listed["gone"] == dict(GONE)
    by_name = {row["name"]: row for row in listed["providers"]}
    assert by_name["deepseek"]["chat"]["json_schema"] is False
    assert by_name["anthropic"]["wires"]["anthropic-messages"]["parameters"] == sorted(AnthropicWire.mapped)
    one = CliRunner().invoke(app, ["providers", "fireworks"])
    assert "FIREWORKS_API_KEY" in one.stdout
    assert "openai-chat (default): frequency_penalty" in one.stdout
    gone = CliRunner().invoke(app, ["providers", "palm"])
    assert (gone.exit_code, "use gemini" in gone.output) == (2, True)
    assert "did you mean 'mistral'" in CliRunner().invoke(app, ["providers", "mistrall"]).output
    shown = CliRunner().invoke(app, ["providers"])
    assert shown.exit_code == 0
    assert all(name in shown.stdout.replace("\n", "") for name in ("openai", "anthropic", "bedrock", "anyscale"))


# --- from outside


def test_a_provider_is_added_from_outside_as_a_row() -> None:
    row = Provider("acme", "https://api.acme.test/v1", ("ACME_API_KEY",), dialect=Dialect(required="any", effort=""))
    with serving(lambda asked: Answer(body=chat(Said(text="hi")))) as server:
        listed = [
            {
                "model_name": "m",
                "litellm_params": {"model": "acme/large", "api_key": "acme-key", "api_base": f"{server.url}/v1"},
            }
        ]
        tools = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]
        with Router(listed, providers=[row], num_retries=0) as router:
            assert router.responses("m", "hello", tools=tools, tool_choice="required").output_text == "hi"
            assert server.last.body["tool_choice"] == "any"
            assert server.last.headers["authorization"] == "Bearer acme-key"
            with pytest.raises(turnout.UnsupportedParameterError, match=r"reasoning\.effort: acme"):
                router.responses("m", "hello", reasoning={"effort": "low"})
            added = router.add_deployment({**listed[0], "model_name": "other"})
            assert added
    with pytest.raises(turnout.ConfigError, match="acme"):
        Router(listed)
    with pytest.raises(turnout.ConfigError, match="providers: must be a list"):
        Router(listed, providers=["acme"])


def test_the_wire_can_be_chosen_per_call() -> None:
    def handler(asked: Asked) -> Answer:
        if asked.path.endswith("/chat/completions"):
            return Answer(body=chat(Said(text="by chat")))
        return Answer(body={"id": "resp_1", "object": "response", "status": "completed", "output": [], "created_at": 1})

    with serving(handler) as server:
        row = {"model": "openai/gpt-5", "api_key": "k", "api_base": f"{server.url}/v1"}
        with Router([{"model_name": "m", "litellm_params": row}], num_retries=0) as router:
            assert router.responses("m", "hello").output_text == ""
            assert router.responses("m", "hello", wire="openai-chat").output_text == "by chat"
            with pytest.raises(turnout.UnsupportedParameterError, match="does not speak 'gemini'"):
                router.responses("m", "hello", wire="gemini")
            assert len(server.seen) == 2


def test_deployment_parameters_and_drop_params() -> None:
    def handler(asked: Asked) -> Answer:
        return Answer(raw=answer("anthropic-messages", Said(text="hi"), stream=bool(asked.body.get("stream"))))

    with serving(handler) as server:
        row = {
            "model": "anthropic/claude-sonnet-4-6", "api_key": "k", "api_base": server.url, "max_output_tokens": 77,
            "extra_headers": {"anthropic-beta": "one-2025"}, "extra_body": {"metadata": {"user_id": "row"}},
        }  # fmt: skip
        with Router([{"model_name": "m", "litellm_params": row}], num_retries=0) as router:
            with pytest.raises(
                turnout.UnsupportedParameterError, match=r"truncation: anthropic.*drop_params"
            ) as caught:
                router.responses("m", "hello", truncation="auto")
            assert caught.value.param == "truncation"
            assert not server.seen, "refused before the call"
            tools = [{"type": "mcp", "server_label": "s", "server_url": "https://x.test", "require_approval": "never"}]
            response = router.responses(
                "m", "hello", truncation="auto", drop_params=True, tools=tools, extra_headers={"anthropic-beta": "two-2025"},
                extra_body={"metadata": {"more": 1}, "top_k": 5},
            )  # fmt: skip
            assert [warning.partition(" ")[0] for warning in response.warnings] == ["truncation"]
            streamed = list(router.responses("m", "hello", truncation="auto", drop_params=True, stream=True))
            assert "truncation" in streamed[-1].response.warnings[0]
        sent = server.seen[0]
        assert (sent.body["max_tokens"], sent.body["top_k"]) == (77, 5)
        assert sent.body["metadata"] == {"more": 1}
        assert sent.headers["anthropic-beta"] == "mcp-client-2025-11-20,two-2025"
        listed = [{"model_name": "m", "litellm_params": row}]
        with Router(listed, drop_params=True, num_retries=0) as dropping:
            assert dropping.responses("m", "hello", truncation="auto").warnings


def test_content_filters_can_be_errors() -> None:
    blocked = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3},
    }

    def handler(asked: Asked) -> Answer:
        if "gemini" in asked.path:
            stream = "stream" in asked.path
            return Answer(body=blocked, raw=sse([blocked]) if stream else None)
        return Answer(raw=answer("anthropic-messages", Said(text="I can."), stream=bool(asked.body.get("stream"))))

    with serving(handler) as server:
        rows = [
            {
                "model_name": "g",
                "litellm_params": {"model": "gemini/gemini-3-pro", "api_key": "k", "api_base": server.url},
            },
            {
                "model_name": "c",
                "litellm_params": {"model": "anthropic/claude-sonnet-4-6", "api_key": "k", "api_base": server.url},
            },
        ]
        with Router(rows, content_policy_fallbacks=[{"g": ["c"]}], num_retries=0) as router:
            told = router.responses("g", "hello")
            assert (told.status, told.incomplete_details.reason, told.output) == ("incomplete", "content_filter", [])
            raised = router.responses("g", "hello", raise_on_content_filter=True)
            assert (raised.output_text, raised.route.fallback) == ("I can.", "c")
            stream = router.responses("g", "hello", raise_on_content_filter=True, stream=True)
            assert list(stream)[-1].response.output_text == "I can."
            with pytest.raises(turnout.ContentPolicyViolationError):
                router.responses("g", "hello", raise_on_content_filter=True, fallbacks=[])
        with (
            Router(rows[:1], raise_on_content_filter=True, num_retries=0) as strict,
            pytest.raises(turnout.ContentPolicyViolationError),
        ):
            strict.responses("g", "hello")
