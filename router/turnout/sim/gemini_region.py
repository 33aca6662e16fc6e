"""A fake of Gemini's generateContent and streamGenerateContent, built from the published schema.

It keeps nothing, answers from the history it is sent (`words.py`), and refuses what the API refuses: unknown fields,
roles out of order, function calls and responses without each other, and thought signatures that are not its own.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from turnout.sim.faults import Fault
from turnout.sim.limit_headers import Limited
from turnout.sim.stateless import Block, StatelessRegion, blocks_of, check_alternation, check_known, fields_of, pieces
from turnout.sim.upstream import Answer, Frame, Refused, message_of
from turnout.sim.words import Heard, Reply, reply_to

FIELDS = frozenset(
    "contents systemInstruction tools toolConfig generationConfig safetySettings cachedContent serviceTier".split()
)
PART_FIELDS = frozenset(
    """
    text thought thoughtSignature functionCall functionResponse inlineData fileData executableCode codeExecutionResult
    videoMetadata mediaResolution toolCall toolResponse partMetadata
    """.split()
)
_PATH = re.compile(r"^/v1beta/models/[\w.-]+:(generateContent|streamGenerateContent)$")
_UNKNOWN = 'Invalid JSON payload received. Unknown name "{name}"'
_STATUSES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
ANY_SIGNATURE = "skip_thought_signature_validator"
"""Google's word for a call that another model made."""
_THOUGHT = "They want an answer, so I shall give one."
_LENIENT = ("gemini-1", "gemini-2")
"""Models that take a function call without a thought signature; from Gemini 3 on it is refused."""


class GeminiRegion(StatelessRegion):
    """One project at Google's AI Studio."""

    key_header = "x-goog-api-key"

    def limit_headers(self, told: Limited) -> Mapping[str, str]:  # noqa: ARG002 (the base's signature)
        """None: it says when to come back in the body."""
        return {}

    def serves(self, path: str) -> bool:
        """Both forms of the operation."""
        return _PATH.match(path) is not None

    def error(self, status: int, message: str) -> Mapping[str, Any]:
        """Google's form of an error."""
        return {"error": {"code": status, "message": message, "status": _STATUSES.get(status, "UNKNOWN")}}

    def fault_body(self, fault: Fault) -> Mapping[str, Any]:
        """The error of that status, with the time to wait in its details."""
        body = super().fault_body(fault)
        if fault.retry_after is None:
            return body
        told = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{fault.retry_after:.3f}s"}
        return {"error": {**body["error"], "details": [told]}}

    def converse(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> Answer:  # noqa: ARG002
        """The next content."""
        model, _, verb = path.rpartition("/")[2].partition(":")
        contents = check_request(body, must_sign=not model.startswith(_LENIENT))
        self._check_signatures(contents)
        turns = [heard for content in contents for heard in hear(content)]
        calling = fields_of(fields_of(body.get("toolConfig")).get("functionCallingConfig"))
        declared = [one for tool in blocks_of(body.get("tools")) for one in blocks_of(tool.get("functionDeclarations"))]
        tools = [str(one["name"]) for one in declared] if calling.get("mode") != "NONE" else []
        reply = reply_to(turns, tools, self._rng, must_call=calling.get("mode") == "ANY")
        thinks = "thinkingConfig" in fields_of(body.get("generationConfig"))
        answer = self._content(model, body, reply, thinks=thinks)
        return Answer(200, answer, stream=verb == "streamGenerateContent")

    def frames(self, answer: Answer) -> Iterator[Frame]:
        """The answer in chunks, each of which is an answer in form."""
        for chunk in stream_chunks(answer.body):
            yield Frame(_encode(chunk), paced=True)

    def failing(self, answer: Answer, fault: Fault, sent: int) -> Iterator[bytes]:  # noqa: ARG002 (the base's)
        """The error in place of a chunk."""
        yield _encode(self.error(503, message_of(fault)))

    def _content(self, model: str, body: Mapping[str, Any], reply: Reply, *, thinks: bool) -> dict[str, Any]:
        parts: list[dict[str, Any]] = [{"text": _THOUGHT, "thought": True}] if thinks else []
        said: dict[str, Any] = {"text": reply.text}
        if reply.tool is not None:
            said = {"functionCall": {"name": reply.tool, "args": {"note": reply.text}}}
        if thinks or reply.tool is not None:
            said["thoughtSignature"] = self.account.seal()
        parts.append(said)
        given, made = len(json.dumps(body)) // 4, len(reply.text.split())
        usage = {"promptTokenCount": given, "candidatesTokenCount": made, "totalTokenCount": given + made}
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
        response_id = f"{self._rng.getrandbits(96):024x}"
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": response_id}

    def _check_signatures(self, contents: Sequence[Block]) -> None:
        for content in contents:
            for part in blocks_of(content.get("parts")):
                sealed = part.get("thoughtSignature")
                if sealed not in (None, ANY_SIGNATURE) and not self.account.opens(sealed):
                    raise Refused("foreign reasoning", "Thought signature is not valid", foreign=True)


def check_request(body: Mapping[str, Any], *, must_sign: bool) -> Sequence[Block]:
    """The contents. Refuses what the API refuses, whoever asks; a call without a signature only if it `must_sign`."""
    check_known(body, FIELDS, _UNKNOWN + ": Cannot find field.")
    contents = blocks_of(body.get("contents"))
    for at, content in enumerate(contents):
        check_known(content, frozenset(("role", "parts")), f"{_UNKNOWN} at 'contents[{at}]'")
        if content.get("role") not in ("user", "model"):
            raise Refused("role", "Please use a valid role: user, model.")
        parts = blocks_of(content.get("parts"))
        if not parts:
            raise Refused("empty", f"contents[{at}].parts must not be empty")
        for part in parts:
            check_known(part, PART_FIELDS, f"{_UNKNOWN} at 'contents[{at}].parts'")
    roles = [str(content["role"]) for content in contents]
    check_alternation(roles, first="user", message="multiturn requests alternate between user and model")
    check_functions(contents, must_sign=must_sign)
    return contents


def check_functions(contents: Sequence[Block], *, must_sign: bool) -> None:
    """Responses come right after their calls, as many as there are; calls of the running turn are signed."""
    waiting: list[str] = []
    last_question = max(at for at, content in enumerate(contents) if _names(content, "text") and at % 2 == 0)
    for at, content in enumerate(contents):
        answered = _names(content, "functionResponse")
        if answered and not waiting:
            raise Refused("orphaned result", "function response turn comes immediately after a function call turn")
        if answered != waiting:
            text = "the number of function response parts is equal to the number of function call parts"
            raise Refused("call without result", text)
        waiting = _names(content, "functionCall")
        signed = any("thoughtSignature" in part for part in blocks_of(content.get("parts")) if "functionCall" in part)
        if must_sign and waiting and at > last_question and not signed:
            raise Refused("unsigned call", "Function call is missing a thought_signature in functionCall parts.")


def _names(content: Block, kind: str) -> list[str]:
    found = [part[kind] for part in blocks_of(content.get("parts")) if kind in part]
    return [str(fields_of(one).get("name")) for one in found]


def hear(content: Block) -> Iterator[Heard]:
    """A content as turns: what each of its parts says, thoughts aside."""
    own = content["role"] == "model"
    said = ""
    for part in blocks_of(content.get("parts")):
        if "functionCall" in part:
            yield Heard("model", str(fields_of(part["functionCall"].get("args")).get("note", "")))
        elif "functionResponse" in part:
            yield Heard("tool", str(part["functionResponse"].get("response")))
        elif "text" in part and not part.get("thought"):
            said += str(part["text"])
    if said:
        yield Heard("model" if own else "user", said)


def stream_chunks(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The chunks of an answer: words one by one, the reason for the end with the last."""
    candidate = answer["candidates"][0]
    parts: list[dict[str, Any]] = []
    for part in candidate["content"]["parts"]:
        words = pieces(part["text"]) if "text" in part and not part.get("thought") else []
        parts += [{"text": word} for word in words[:-1]]
        parts.append({**part, "text": words[-1]} if words else part)
    for number, part in enumerate(parts):
        last = {"finishReason": "STOP"} if number == len(parts) - 1 else {}
        yield {**answer, "candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0, **last}]}


def _encode(chunk: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()
