"""Envelopes: what a provider wants back unchanged (signed reasoning, hosted tool blocks), inside `encrypted_content`.

An envelope is `turnout1.` and base64url of JSON: the family of wires that can read it, and the exact native blocks.
Clients keep it for us, so it comes back as untrusted input: bounded in size and checked in shape.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from pydantic_core import from_json, to_json

PREFIX = "turnout1."
_LONGEST = 8 << 20
"""Characters. Reasoning of 128,000 tokens is about half a megabyte."""
_MADE_HERE = re.compile(r"^(?:msg|rs|fc|ctc|ws|ci|ig|mcp|cmp)_tn_")


class Envelope(NamedTuple):
    """What was sealed."""

    family: str
    """Who can read the blocks: anthropic, gemini, bedrock, or chat:<provider>."""
    blocks: tuple[Mapping[str, Any], ...]
    to_next: bool = False
    """The blocks belong to the item that follows, not to a place of their own."""


def seal(family: str, blocks: Sequence[Mapping[str, Any]], *, to_next: bool = False) -> str:
    """The text for `encrypted_content`."""
    content = to_json({"v": 1, "family": family, "next": to_next, "blocks": list(blocks)})
    return PREFIX + urlsafe_b64encode(content).decode().rstrip("=")


def open_envelope(text: object) -> Envelope | None:
    """The envelope, None if this is none of ours or is damaged."""
    if not isinstance(text, str) or not text.startswith(PREFIX) or len(text) > _LONGEST:
        return None
    packed = text.removeprefix(PREFIX)
    try:
        content: object = from_json(urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    except (ValueError, binascii.Error):
        return None
    if not isinstance(content, dict):
        return None
    fields = cast("dict[str, Any]", content)
    blocks: object = fields.get("blocks")
    if fields.get("v") != 1 or not isinstance(fields.get("family"), str) or not isinstance(blocks, list):
        return None
    listed = cast("list[object]", blocks)
    if not all(isinstance(block, dict) for block in listed):
        return None
    whole = tuple(cast("dict[str, Any]", block) for block in listed)
    return Envelope(fields["family"], whole, fields.get("next") is True)


def is_made_here(item_id: object) -> bool:
    """True for the id of an item that a translation made: no provider knows it."""
    return isinstance(item_id, str) and bool(_MADE_HERE.match(item_id))
