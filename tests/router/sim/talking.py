"""A client of the fakes that keeps a history on each wire, as the provider's own documentation has it."""

import json
import random
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from turnout.sim.words import new_word, read_answer

Json = dict[str, Any]
SCHEMA = {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]}
HEADERS = {"api-key": "k", "x-api-key": "k", "x-goog-api-key": "k", "anthropic-version": "2023-06-01"}


def ask(url: str, path: str, body: Json, **more: str) -> tuple[int, bytes]:
    """Posts a body; status and answer."""
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {**HEADERS, **more}, method="POST")
    return answer_to(request)


def answer_to(request: urllib.request.Request) -> tuple[int, bytes]:
    """Status and body, whatever the status is."""
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def events(raw: bytes) -> list[Json]:
    return [json.loads(line[6:]) for line in raw.decode().splitlines() if line.startswith("data: ")]


@dataclass
class Talk:
    """A conversation with one fake. Subclasses know the wire."""

    url: str
    rng: random.Random = field(default_factory=lambda: random.Random(5))
    body: Json = field(default_factory=dict)
    record: list[str] = field(default_factory=list)

    def turns(self, count: int, *, tool_at: int = 0) -> "Talk":
        """Says so many things, one of them such that the model calls the tool."""
        for number in range(1, count + 1):
            word = new_word("ask", self.rng)
            self.record.append(word)
            self.say(f"Please look_up {word}." if number == tool_at else f"Well, {word}.")
            self.answer()
        return self

    def answer(self) -> None:
        """Asks, checks what comes back, and gives results until there is an answer in words."""
        for _ in range(3):
            status, raw = ask(self.url, self.path, self.body)
            assert status == 200, raw
            text, call = self.take(json.loads(raw))
            read = read_answer(text)
            assert read is not None
            assert read[1] == self.record
            self.record.append(read[0])
            if call is None:
                return
            word = new_word("got", self.rng)
            self.record.append(word)
            self.give(call, word)
        raise AssertionError("the model does nothing but call tools")

    path = ""

    def say(self, text: str) -> None:
        raise NotImplementedError

    def give(self, call: Json, output: str) -> None:
        raise NotImplementedError

    def take(self, answer: Json) -> tuple[str, Json | None]:
        raise NotImplementedError


@dataclass
class ResponsesTalk(Talk):
    """With the whole history in the input (`store` false), as zero data retention has it."""

    path = "/openai/v1/responses"
    body: Json = field(
        default_factory=lambda: {
            "model": "m", "input": [], "store": False, "reasoning": {"effort": "low"},
            "include": ["reasoning.encrypted_content"],
            "tools": [{"type": "function", "name": "look_up", "parameters": SCHEMA, "strict": False}],
        }
    )  # fmt: skip

    def say(self, text: str) -> None:
        self.body["input"].append({"type": "message", "role": "user", "content": text})

    def give(self, call: Json, output: str) -> None:
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": output}
        self.body["input"].append(result)

    def take(self, answer: Json) -> tuple[str, Json | None]:
        self.body["input"] += answer["output"]
        last = answer["output"][-1]
        if last["type"] == "function_call":
            return json.loads(last["arguments"])["note"], last
        return last["content"][0]["text"], None


@dataclass
class AnthropicTalk(Talk):
    path = "/v1/messages"
    body: Json = field(
        default_factory=lambda: {
            "model": "claude-sonnet-4-5", "max_tokens": 8000, "messages": [],
            "thinking": {"type": "enabled", "budget_tokens": 2048},
            "tools": [{"name": "look_up", "input_schema": SCHEMA}],
        }
    )  # fmt: skip

    def say(self, text: str) -> None:
        self.body["messages"].append({"role": "user", "content": [{"type": "text", "text": text}]})

    def give(self, call: Json, output: str) -> None:
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": output}
        self.body["messages"].append({"role": "user", "content": [result]})

    def take(self, answer: Json) -> tuple[str, Json | None]:
        self.body["messages"].append({"role": "assistant", "content": answer["content"]})
        last = answer["content"][-1]
        return (last["input"]["note"], last) if last["type"] == "tool_use" else (last["text"], None)


@dataclass
class GeminiTalk(Talk):
    path = "/v1beta/models/gemini-3-pro:generateContent"
    body: Json = field(
        default_factory=lambda: {
            "contents": [], "generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}},
            "tools": [{"functionDeclarations": [{"name": "look_up", "parametersJsonSchema": SCHEMA}]}],
        }
    )  # fmt: skip

    def say(self, text: str) -> None:
        self.body["contents"].append({"role": "user", "parts": [{"text": text}]})

    def give(self, call: Json, output: str) -> None:
        result = {"name": call["name"], "response": {"output": output}}
        self.body["contents"].append({"role": "user", "parts": [{"functionResponse": result}]})

    def take(self, answer: Json) -> tuple[str, Json | None]:
        content = answer["candidates"][0]["content"]
        self.body["contents"].append(content)
        last = content["parts"][-1]
        return (
            (last["functionCall"]["args"]["note"], last["functionCall"])
            if "functionCall" in last
            else (last["text"], None)
        )
