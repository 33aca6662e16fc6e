"""Gemini's answers to a ResponseBuilder. Each chunk of a stream is a whole answer in form; so is a complete one."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from turnout_adapters.builder import ResponseBuilder
from turnout_adapters.decoding import an_object, counts, number, objects, said, string, strings, the_objects
from turnout_adapters.envelope import seal
from turnout_adapters.errors import InternalServerError
from turnout_adapters.refusals import stream_error

FAMILY = "gemini"
_NUMBERED = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
_READ = frozenset("candidates usageMetadata modelVersion content finishReason index logprobsResult".split())
_CUT = ("MAX_TOKENS", "CONTINUATION")
_FILTERED = frozenset(
    """
    SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION
    MODEL_ARMOR ESCALATION LANGUAGE
    """.split()
)


class GeminiTeller:
    """Reads one answer."""

    def __init__(self, provider: str, nonce: str) -> None:
        self._provider = provider
        self._nonce = nonce
        self._calls = 0
        self._thought: list[str] = []
        self._code: Mapping[str, Any] | None = None
        self._reason = ""
        self._blocked = False
        self._seen = False
        self._grounding: dict[str, Any] = {}
        self._text: list[str] = []

    def tell(self, name: str | None, fields: Mapping[str, Any], builder: ResponseBuilder) -> None:  # noqa: ARG002
        """One chunk. (Gemini's events have no names.)"""
        if "error" in fields:
            raise stream_error(fields, self._provider)
        builder.start(string(fields.get("modelVersion")) or None)
        self._count(an_object(fields.get("usageMetadata")), builder)
        if an_object(fields.get("promptFeedback")).get("blockReason"):
            self._blocked = True
            builder.extra["native_stop_reason"] = an_object(fields.get("promptFeedback"))["blockReason"]
        builder.keep(fields, _READ)
        for candidate in objects(fields.get("candidates"))[:1]:
            builder.keep(candidate, _READ)
            self._grounding |= an_object(candidate.get("groundingMetadata"))
            logprobs = _logprobs(an_object(candidate.get("logprobsResult")))
            parts = an_object(candidate.get("content")).get("parts")
            for part in [] if parts is None else the_objects(parts, "content"):
                self._seen = True
                self._part(part, logprobs, builder)
                logprobs = []
            self._finished(candidate, builder)

    def whole(self, body: Mapping[str, Any], builder: ResponseBuilder) -> None:
        """A complete answer; where it gives no reason for its end, the end of its JSON is one."""
        self.tell(None, body, builder)
        if not self._reason and self._seen:
            self._reason = "STOP"
        self.end(builder)

    def end(self, builder: ResponseBuilder, *, marked: bool = False) -> None:  # noqa: ARG002
        """Finishes, if the model said that it did."""
        if not self._reason and not self._blocked:
            return
        self._end_thought(builder)
        self._cite(builder)
        if self._blocked and not self._reason:
            builder.finish("content_filter")
        elif self._reason in _CUT:
            builder.finish("max_output_tokens")
        else:
            builder.finish("content_filter" if self._reason in _FILTERED else None)

    def _finished(self, candidate: Mapping[str, Any], builder: ResponseBuilder) -> None:
        given: object = candidate.get("finishReason")
        reason = _NUMBERED.get(given, "OTHER") if isinstance(given, int) and given else string(given)
        if not reason or reason == "FINISH_REASON_UNSPECIFIED":
            return
        builder.extra["native_stop_reason"] = reason
        if reason != "STOP" and reason not in _CUT and reason not in _FILTERED:
            told = string(candidate.get("finishMessage"))
            text = f"{self._provider}: the model stopped with {reason}{': ' if told else ''}{told}"
            raise InternalServerError(text, provider=self._provider, code=reason)
        self._reason = reason

    # --- parts

    def _part(self, part: Mapping[str, Any], logprobs: list[Any], builder: ResponseBuilder) -> None:
        signature = part.get("thoughtSignature")
        if part.get("thought"):
            text = string(part.get("text"))
            self._thought.append(text)
            builder.summary(text)
            if signature:
                whole = {"thought": True, "text": "".join(self._thought), "thoughtSignature": signature}
                builder.seal(seal(FAMILY, [whole]))
                self._end_thought(builder)
            return
        self._end_thought(builder)
        if "text" in part:
            self._say(said(part.get("text")), signature, logprobs, builder)
        elif "functionCall" in part:
            self._carry(signature, builder)
            self._call(an_object(part.get("functionCall")), builder)
        elif "inlineData" in part:
            self._carry(signature, builder)
            data = an_object(part.get("inlineData"))
            builder.item("image_generation_call", {"result": string(data.get("data")), "status": "completed"})
        elif "executableCode" in part:
            self._code = part
        elif "codeExecutionResult" in part:
            self._ran(part, builder)
        elif part:
            builder.seal(seal(FAMILY, [part]))
            builder.close()

    def _end_thought(self, builder: ResponseBuilder) -> None:
        if self._thought:
            self._thought = []
            builder.close()

    def _carry(self, signature: Any, builder: ResponseBuilder) -> None:
        if signature:
            builder.close()
            builder.seal(seal(FAMILY, [{"thoughtSignature": signature}], to_next=True))
            builder.close()

    def _say(self, text: str, signature: Any, logprobs: list[Any], builder: ResponseBuilder) -> None:
        """The signature of a text that has begun, or of an empty one, has a place of its own after it."""
        first = bool(text) and not builder.text_length()
        if first:
            self._carry(signature, builder)
        self._text.append(text)
        builder.text(text, logprobs)
        if signature and not first:
            builder.close()
            builder.seal(seal(FAMILY, [{"text": "", "thoughtSignature": signature}]))
            builder.close()

    def _call(self, call: Mapping[str, Any], builder: ResponseBuilder) -> None:
        self._calls += 1
        call_id = string(call.get("id")) or f"call_{self._nonce}{self._calls:02x}"
        builder.call(call_id, string(call.get("name")))
        if call.get("args"):
            builder.arguments(to_json(call["args"]).decode())
        builder.close()

    def _ran(self, part: Mapping[str, Any], builder: ResponseBuilder) -> None:
        result, code = an_object(part.get("codeExecutionResult")), an_object(self._code)
        failed = result.get("outcome") not in (None, "OUTCOME_OK")
        fields = {
            "code": string(an_object(code.get("executableCode")).get("code")),
            "container_id": "",
            "outputs": [{"type": "logs", "logs": string(result.get("output"))}],
            "status": "failed" if failed else "completed",
            "encrypted_content": seal(FAMILY, [one for one in (code, part) if one]),
        }
        builder.item("code_interpreter_call", fields)
        self._code = None

    # --- beside the parts

    def _count(self, usage: Mapping[str, Any], builder: ResponseBuilder) -> None:
        if usage:
            thoughts = number(usage.get("thoughtsTokenCount"))
            builder.count(
                input=number(usage.get("promptTokenCount")) + number(usage.get("toolUsePromptTokenCount")),
                output=number(usage.get("candidatesTokenCount")) + thoughts,
                cached=number(usage.get("cachedContentTokenCount")),
                reasoning=thoughts,
                native=dict(usage),
            )

    def _cite(self, builder: ResponseBuilder) -> None:
        """Grounding comes at the end: citations of the text that is still open, and the search itself."""
        chunks = [an_object(chunk.get("web")) for chunk in objects(self._grounding.get("groundingChunks"))]
        for support in objects(self._grounding.get("groundingSupports")):
            begin, end = self._bounds(an_object(support.get("segment")))
            for index in counts(support.get("groundingChunkIndices")):
                if index < len(chunks):
                    url, title = string(chunks[index].get("uri")), string(chunks[index].get("title"))
                    bounds = {"start_index": begin, "end_index": end}
                    builder.annotate({"type": "url_citation", "url": url, "title": title, **bounds})
        queries = strings(self._grounding.get("webSearchQueries"))
        if queries:
            found = [{"type": "url", "url": string(chunk.get("uri"))} for chunk in chunks if chunk.get("uri")]
            action = {"type": "search", "query": queries[0], "queries": queries, "sources": found}
            fields = {"status": "completed", "action": action, "encrypted_content": seal(FAMILY, [])}
            builder.item("web_search_call", fields)

    def _bounds(self, segment: Mapping[str, Any]) -> tuple[int, int]:
        """Offsets in characters of the whole text; Google counts the UTF-8 bytes of a part."""
        whole = "".join(self._text)
        part = number(segment.get("partIndex"))
        before = "".join(self._text[:part]) if part else ""
        data = whole[len(before) :].encode()
        begin = len(before) + len(data[: number(segment.get("startIndex"))].decode(errors="ignore"))
        end = len(before) + len(data[: number(segment.get("endIndex"))].decode(errors="ignore"))
        cited = string(segment.get("text"))
        if cited and whole[begin:end] != cited and (found := whole.find(cited)) >= 0:
            return found, found + len(cited)
        return begin, end


def _logprobs(result: Mapping[str, Any]) -> list[Any]:
    """Log probabilities in OpenAI's form."""
    chosen, top = objects(result.get("chosenCandidates")), objects(result.get("topCandidates"))
    return [
        {
            **_probability(one),
            "top_logprobs": [_probability(other) for other in objects(top[index].get("candidates"))]
            if index < len(top)
            else [],
        }
        for index, one in enumerate(chosen)
    ]


def _probability(candidate: Mapping[str, Any]) -> dict[str, Any]:
    token = string(candidate.get("token"))
    return {"token": token, "bytes": list(token.encode()), "logprob": candidate.get("logProbability") or 0.0}
