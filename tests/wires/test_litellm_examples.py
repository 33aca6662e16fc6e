"""LiteLLM's documented calls, with only the import changed, against servers that check who is calling."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses import Response as OpenAIResponse
from pydantic import BaseModel

import turnout as litellm
from tests.servers import Answer, Asked, Server, serving
from tests.signing import GoogleTokens, signature_v4
from tests.wire_answers import Said, answer
from turnout.sim.replies import encode_event, stream_events

Json = dict[str, Any]
STORY = "Once upon a time, a unicorn slept."
QUESTION = "Tell me a three sentence bedtime story about a unicorn."
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
MODELS = {
    "openai": "openai/o1-pro",
    "anthropic": "anthropic/claude-3-5-sonnet-20240620",
    "vertex_ai": "vertex_ai/gemini-1.5-pro",
    "vertex_ai claude": "vertex_ai/claude-3-7-sonnet@20250219",
    "bedrock": "bedrock/anthropic.claude-3-sonnet-20240229-v1:0",
    "bedrock nova": "bedrock/us.amazon.nova-lite-v1:0",
    "bedrock profile": "bedrock/arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/a1b2c3d4e5f6",
    "bedrock openai": "bedrock/us.openai.gpt-5.6-sol",
    "gemini": "gemini/gemini-1.5-flash",
}


def responses_body(text: str, **more: Any) -> Json:
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return {
        "id": "resp_68a0c1f2d3e4b5a6", "object": "response", "created_at": 1, "status": "completed", "model": "o1-pro",
        "output": [message], "tools": [], "tool_choice": "auto", "parallel_tool_calls": True,
        "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}, **more,
    }  # fmt: skip


class Providers:
    """All providers on one server. Who does not show the right credentials gets what the provider would say."""

    def __init__(self, tokens: GoogleTokens) -> None:
        self.tokens = tokens
        self.text = STORY

    def __call__(self, asked: Asked) -> Answer:
        if asked.path == "/token":
            return Answer(body=self.tokens.token(asked))
        for fits, serve in self.routes():
            if fits(asked):
                return serve(asked)
        return Answer(404, {"error": {"message": f"no such path: {asked.path}"}})

    def routes(self) -> list[tuple[Callable[[Asked], bool], Callable[[Asked], Answer]]]:
        return [
            (lambda one: one.path.startswith("/v1/responses"), self.openai),
            (lambda one: one.path == "/v1/messages", self.anthropic),
            (lambda one: one.path.startswith("/v1beta/models/"), self.gemini),
            (lambda one: "/projects/" in one.path, self.vertex),
            (lambda one: one.path.startswith(("/model/", "/openai/v1/")), self.bedrock),
        ]

    def said(self, wire: str, asked: Asked, *, stream: bool) -> Answer:
        return Answer(raw=answer(wire, Said(text=self.text), stream=stream))

    def openai(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") != "Bearer sk-test-of-openai":
            return Answer(401, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}})
        if asked.method == "DELETE":
            return Answer(body={"id": asked.path.rpartition("/")[2], "object": "response", "deleted": True})
        if asked.path.endswith("/cancel"):
            return Answer(body=responses_body("", status="cancelled", output=[]))
        whole = responses_body(self.text)
        if asked.method == "POST" and asked.body.get("tools") == [{"type": "image_generation"}]:
            whole["output"] = [{"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": "aGk="}]
        if asked.method == "POST" and asked.body.get("stream"):
            events = list(stream_events(whole))
            if asked.body.get("tools"):
                partial = {"type": "response.image_generation_call.partial_image", "partial_image_b64": "aGk=",
                           "partial_image_index": 0, "item_id": "ig_1", "output_index": 0, "sequence_number": 2}  # fmt: skip
                events.insert(2, partial)
            return Answer(raw=b"".join(map(encode_event, events)))
        return Answer(body=whole)

    def anthropic(self, asked: Asked) -> Answer:
        right = (
            asked.headers.get("x-api-key") == "sk-ant-test-key" and asked.headers["anthropic-version"] == "2023-06-01"
        )
        if not right or "authorization" in asked.headers:
            return Answer(
                401, {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}
            )
        return self.said("anthropic-messages", asked, stream=bool(asked.body.get("stream")))

    def gemini(self, asked: Asked) -> Answer:
        if asked.headers.get("x-goog-api-key") != "AIza-test-of-gemini" or "key=" in asked.query:
            message = "API key not valid. Please pass a valid API key."
            return Answer(400, {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}})
        return self.said("gemini", asked, stream="stream" in asked.path)

    def vertex(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") != f"Bearer {self.tokens.issued[-1]}":
            return Answer(401, {"error": {"code": 401, "message": "invalid token", "status": "UNAUTHENTICATED"}})
        assert asked.path.startswith("/v1/projects/my-project/locations/us-central1/publishers/")
        wire = "anthropic-messages" if "/anthropic/" in asked.path else "gemini"
        return self.said(wire, asked, stream="stream" in asked.path)

    def bedrock(self, asked: Asked) -> Answer:
        came, computed = signature_v4(asked, SECRET)
        if came != computed:
            message = "The request signature we calculated does not match the signature you provided."
            return Answer(403, {"message": message}, headers={"x-amzn-errortype": "InvalidSignatureException"})
        assert "/us-west-2/bedrock/aws4_request" in asked.headers["authorization"]
        if asked.path.startswith("/openai/v1/responses"):
            whole = responses_body(self.text)
            raw = b"".join(map(encode_event, stream_events(whole))) if asked.body.get("stream") else None
            return Answer(body=whole, raw=raw)
        wire = "bedrock-converse" if "/converse" in asked.path else "invoke"
        return self.said(wire, asked, stream="stream" in asked.path)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    providers = Providers(GoogleTokens())
    with serving(providers) as server:
        file = tmp_path / "service_account.json"
        file.write_text(json.dumps(providers.tokens.credentials(server.url)))
        for name in (
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "AWS_PROFILE",
            "AWS_BEARER_TOKEN_BEDROCK",
            "AWS_SESSION_TOKEN",
        ):
            monkeypatch.delenv(name, raising=False)
        for name, value in {
            "OPENAI_API_KEY": "sk-test-of-openai", "OPENAI_BASE_URL": f"{server.url}/v1",
            "ANTHROPIC_API_KEY": "sk-ant-test-key", "ANTHROPIC_API_BASE": server.url,
            "GOOGLE_APPLICATION_CREDENTIALS": str(file), "VERTEXAI_PROJECT": "my-project",
            "VERTEXAI_LOCATION": "us-central1", "VERTEXAI_API_BASE": server.url,
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION_NAME": "us-west-2",
            "AWS_BEDROCK_RUNTIME_ENDPOINT": server.url, "GEMINI_API_KEY": "AIza-test-of-gemini", "GEMINI_API_BASE": server.url,
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        yield server, providers


@pytest.mark.parametrize("name", MODELS)
def test_non_streaming(name: str, cloud: tuple[Server, Providers]) -> None:
    response = litellm.responses(model=MODELS[name], input=QUESTION, max_output_tokens=100)
    assert response.output_text == STORY
    checked = OpenAIResponse.model_validate(response.model_dump(mode="json"))
    assert checked.status == "completed"
    assert "100" in json.dumps(cloud[0].last.body)


@pytest.mark.parametrize("name", MODELS)
def test_streaming(name: str, cloud: tuple[Server, Providers]) -> None:
    response = litellm.responses(model=MODELS[name], input=QUESTION, stream=True)
    text = "".join(event.delta for event in response if event.type == "response.output_text.delta")
    assert text == STORY


@pytest.mark.parametrize("name", MODELS)
def test_asynchronous(name: str, cloud: tuple[Server, Providers]) -> None:
    async def example() -> tuple[str, str]:
        response = await litellm.aresponses(model=MODELS[name], input=QUESTION, max_output_tokens=100)
        stream = await litellm.aresponses(model=MODELS[name], input=QUESTION, stream=True)
        return response.output_text, "".join([e.delta async for e in stream if e.type == "response.output_text.delta"])

    assert asyncio.run(example()) == (STORY, STORY)


def test_image_generation(cloud: tuple[Server, Providers]) -> None:
    response = litellm.responses(model="gpt-4.1", input="Draw a river.", tools=[{"type": "image_generation"}])
    assert [output.result for output in response.output if output.type == "image_generation_call"] == ["aGk="]
    stream = litellm.responses(
        model="gpt-4.1", input="Draw a river.", stream=True, tools=[{"type": "image_generation", "partial_images": 2}]
    )
    images = [e.partial_image_b64 for e in stream if e.type == "response.image_generation_call.partial_image"]
    assert images == ["aGk="]


def test_get_cancel_delete(cloud: tuple[Server, Providers]) -> None:
    response = litellm.responses(model="openai/o1-pro", input=QUESTION)
    assert litellm.get_responses(response_id=response.id).output_text == STORY
    assert litellm.cancel_responses(response_id=response.id).status == "cancelled"
    assert litellm.delete_responses(response_id=response.id).deleted

    async def asynchronously() -> bool:
        again = await litellm.aresponses(model="openai/o1-pro", input=QUESTION)
        found = await litellm.aget_responses(response_id=again.id)
        await litellm.acancel_responses(response_id=found.id)
        return (await litellm.adelete_responses(response_id=found.id)).deleted

    assert asyncio.run(asynchronously())


@pytest.mark.parametrize("name", ["openai", "gemini", "vertex_ai", "anthropic", "bedrock nova"])
def test_structured_output(name: str, cloud: tuple[Server, Providers]) -> None:
    class Story(BaseModel):
        title: str
        unicorns: int | None = None

    server, providers = cloud
    providers.text = '{"title": "Night", "unicorns": 1}'
    model = MODELS[name].replace("claude-3-5-sonnet-20240620", "claude-sonnet-4-5").replace("nova-lite", "nova-2-lite")
    response = litellm.responses(model=model, input=QUESTION, text_format=Story)
    assert response.output_parsed == Story(title="Night", unicorns=1)
    assert '"title"' in json.dumps(server.last.body).replace("\\", "")
    stream = litellm.responses(model=model, input=QUESTION, text_format=Story, stream=True)
    assert list(stream)[-1].response.output_parsed.title == "Night"


@pytest.mark.parametrize("name", MODELS)
def test_wrong_credentials(name: str, cloud: tuple[Server, Providers], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "a-wrong-key-of-some-length")
    extra = {"api_key": "a-wrong-token"} if name.startswith("vertex") else {}
    if extra:
        cloud[1].tokens.issued.append("ya29.the-right-one")
    with pytest.raises(litellm.AuthenticationError) as caught:
        litellm.responses(model=MODELS[name], input=QUESTION, num_retries=0, **extra)
    assert "wrong" not in str(caught.value)
    assert caught.value.status in (400, 401, 403)


def test_an_expired_token_is_renewed_and_a_good_one_kept(cloud: tuple[Server, Providers]) -> None:
    server, providers = cloud
    row = {"model_name": "m", "litellm_params": {"model": "vertex_ai/gemini-3-pro"}}
    with litellm.Router([row], num_retries=0) as router:
        for _ in range(3):
            router.responses("m", QUESTION)
        assert len(providers.tokens.issued) == 1, "a good token is used again"
        providers.tokens.lifetime = 10  # google-auth renews what ends within four minutes
        providers.tokens.issued[-1] = "ya29.revoked-by-the-server"
        assert router.responses("m", QUESTION).output_text == STORY
        assert len(providers.tokens.issued) == 2, "a token that is refused is renewed, once"
        router.responses("m", QUESTION)
        assert len(providers.tokens.issued) == 3, "a token about to expire is renewed"

    async def many() -> None:
        providers.tokens.lifetime = 3600
        async with litellm.Router([row], num_retries=0) as fresh:
            before = len(providers.tokens.issued)
            await asyncio.gather(*(fresh.aresponses("m", QUESTION) for _ in range(20)))
            assert len(providers.tokens.issued) == before + 1, "twenty calls, one token"

    asyncio.run(many())
    assert "ya29" not in repr(server.last.target)


def test_temporary_aws_keys_are_signed_with_their_token(cloud: tuple[Server, Providers]) -> None:
    given = {
        "aws_access_key_id": "ASIAEXAMPLE",
        "aws_secret_access_key": SECRET,
        "aws_session_token": "tok/en+=",
        "aws_region_name": "us-west-2",
    }
    response = litellm.responses(model=MODELS["bedrock nova"], input=QUESTION, **given)
    assert response.output_text == STORY
    assert cloud[0].last.headers["x-amz-security-token"] == "tok/en+="
    assert "x-amz-security-token" in cloud[0].last.headers["authorization"]


def test_a_bearer_key_needs_no_signature(cloud: tuple[Server, Providers], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-1234")

    def handler(asked: Asked) -> Answer:
        assert asked.headers["authorization"] == "Bearer bedrock-api-key-1234"
        return Answer(raw=answer("bedrock-converse", Said(text="ok"), stream=False))

    with serving(handler) as server:
        response = litellm.responses(model=MODELS["bedrock nova"], input=QUESTION, api_base=server.url)
    assert response.output_text == "ok"
