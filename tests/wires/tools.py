"""Encodes and decodes without a server."""

import json
from typing import Any

from tests import grammar
from turnout_adapters.adapter import HTTPReply, HTTPRequest, Target, WireCall
from turnout_adapters.providers import PROVIDERS
from turnout_adapters.registry import adapter_for, choose_wire

Json = dict[str, Any]


def adapter_of(model: str, wire: str | None = None) -> tuple[Any, str]:
    """The adapter for "provider/model", and the upstream model."""
    name, _, upstream = model.partition("/")
    chosen, upstream = choose_wire(PROVIDERS[name], upstream, {} if wire is None else {"wire": wire})
    return adapter_for(PROVIDERS[name], chosen), upstream


def request_for(model: str, input: Any, *, wire: str | None = None, drop: bool = False, **body: Any) -> HTTPRequest:
    """The request that goes out."""
    adapter, upstream = adapter_of(model, wire)
    extra = body.pop("extra_body", {})
    stream = body.pop("stream", False)
    call = WireCall(
        "create", upstream, {"input": input, **body}, extra_body=extra, drop_params=drop, stream=stream, nonce="0"
    )
    return adapter.request(call, Target(model.partition("/")[0], "https://host"))


def body_for(model: str, input: Any, **more: Any) -> Json:
    return json.loads(request_for(model, input, **more).body)


def read_plain(model: str, native: Json, *, wire: str | None = None, **body: Any) -> Any:
    """The Response of a complete native answer."""
    adapter, upstream = adapter_of(model, wire)
    call = WireCall("create", upstream, {"input": "x", **body}, nonce="0" * 24, now=1.0)
    return adapter.response(call, HTTPReply(200, {}, json.dumps(native).encode()))


def read_stream(model: str, raw: bytes, *, wire: str | None = None, piece: int = 5, **body: Any) -> list[Any]:
    """The events of a native stream, their grammar checked. Raises what the decoder raises at its end."""
    adapter, upstream = adapter_of(model, wire)
    decoder = adapter.decoder(
        WireCall("create", upstream, {"input": "x", **body}, nonce="0" * 24, now=1.0, stream=True)
    )
    events: list[Any] = []
    for start in range(0, len(raw), piece):
        events += decoder.feed(raw[start : start + piece])
    events += decoder.close()
    grammar.check([event.model_dump(mode="json") for event in events])
    return events
