"""The replicate wire: a prediction is made, then asked for until it is done, or its stream is read."""

import re
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from turnout_adapters.adapter import Follow, HTTPReply, HTTPRequest, Target, WireCall
from turnout_adapters.builder import ResponseBuilder
from turnout_adapters.decoding import TranslatedDecoder, an_object, body_of, finished, number, string
from turnout_adapters.errors import InternalServerError, InvalidReplyError
from turnout_adapters.paths import segments
from turnout_adapters.sending import headers_for
from turnout_adapters.translated import Encoded, TranslatedWire
from turnout_adapters.types import Response
from turnout_adapters.wires.plain_text import read_text, transcript
from turnout_adapters.wires.text_events import TextEvents

_PAUSE = 0.5
"""Seconds between two looks at a prediction that is not done; the first answer may already have waited a minute."""
_ADDRESS = re.compile(r"[!-~]+")
_UNDER_WAY = ("starting", "processing")
_MAPPED = frozenset({"temperature", "top_p"})


class ReplicateWire(TranslatedWire):
    """POST /models/{owner}/{name}/predictions. Stateless."""

    wire = "replicate"
    mapped = _MAPPED
    two_steps = True

    def encode(self, call: WireCall, target: Target) -> Encoded:  # noqa: ARG002 (the base's signature)
        """Path, body and headers. A model with a version, owner/name:version, has an address of its own."""
        request = read_text(call, self.provider, _MAPPED)
        given: dict[str, Any] = {"prompt": transcript(request)}
        if request.system:
            given["system_prompt"] = "\n\n".join(part.text for part in request.system)
        for ours, theirs in (("max_output_tokens", "max_tokens"), ("temperature", "temperature"), ("top_p", "top_p")):
            if request.get(ours) is not None:
                given[theirs] = request.get(ours)
        body: dict[str, Any] = {"input": given}
        name, _, version = call.model.partition(":")
        path = f"/models/{segments(name)}/predictions"
        if version:
            path, body["version"] = "/predictions", version
        if call.stream:
            body["stream"] = True
        return Encoded(path, body, request.draft, [] if call.stream else [("prefer", "wait=60")])

    def follow(self, call: WireCall, target: Target, reply: HTTPReply) -> Follow | None:
        """The next question: the stream of the prediction, or how it is doing."""
        fields = body_of(reply)
        urls = an_object(fields.get("urls"))
        if call.stream:
            url = string(urls.get("stream"))
            if not url:
                raise InvalidReplyError(f"{call.model} does not stream", provider=self.provider)
        elif fields.get("status") in _UNDER_WAY:
            url = string(urls.get("get"))
        else:
            return None
        if not _is_theirs(url, target.base_url):
            raise InvalidReplyError("the prediction's address is not the provider's", provider=self.provider)
        headers = headers_for(target, (), call.extra_headers, stream=call.stream)
        return Follow(HTTPRequest("GET", url, headers), 0.0 if call.stream else _PAUSE)

    def decode(self, call: WireCall, reply: HTTPReply) -> Response:
        """A complete answer."""
        builder = ResponseBuilder(call, quiet=True)
        fields = body_of(reply)
        if fields.get("status") in ("failed", "canceled"):
            told = string(fields.get("error")) or string(fields.get("status"))
            raise InternalServerError(f"{self.provider}: {told}", provider=self.provider, code="prediction_failed")
        output: object = fields.get("output")
        if not isinstance(output, str | list) and (output is not None or fields.get("status") != "succeeded"):
            raise InvalidReplyError("the prediction has no output", provider=self.provider)
        pieces = cast("list[object]", output) if isinstance(output, list) else [output]
        builder.text("".join(string(piece) for piece in pieces))
        metrics = an_object(fields.get("metrics"))
        given, made = metrics.get("input_token_count"), metrics.get("output_token_count")
        if given is not None or made is not None:
            builder.count(input=number(given), output=number(made))
        builder.finish()
        return finished(builder, reply)

    def decoder(self, call: WireCall) -> TranslatedDecoder:
        """A decoder for one stream of text events."""
        return TranslatedDecoder(_Teller(self.provider), ResponseBuilder(call), TextEvents())


def _is_theirs(url: str, base_url: str) -> bool:
    """True for an address to which the key may go."""
    try:
        own, base = urlsplit(url), urlsplit(base_url)
        host, _ = own.hostname or "", own.port  # which may be no number
    except ValueError:
        return False
    known = host == base.hostname or host.endswith(".replicate.com")
    return known and own.scheme in ("https", base.scheme) and _ADDRESS.fullmatch(url) is not None


class _Teller:
    def __init__(self, provider: str) -> None:
        self._provider = provider

    def tell(self, name: str | None, fields: Mapping[str, Any], builder: ResponseBuilder) -> None:
        data = string(fields.get("data"))
        builder.start()
        if name == "output":
            builder.text(data)
        elif name == "error":
            raise InternalServerError(f"{self._provider}: {data}", provider=self._provider, code="prediction_failed")
        elif name == "done":
            if "error" in data or "canceled" in data:
                raise InternalServerError(
                    f"{self._provider}: {data}", provider=self._provider, code="prediction_failed"
                )
            builder.finish()

    def end(self, builder: ResponseBuilder, *, marked: bool = False) -> None:
        """Only `done` ends a prediction."""
