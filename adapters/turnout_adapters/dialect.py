"""How a provider's chat completions differ from OpenAI's: data, one value for each provider row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server of chat completions understands. The defaults suit most compatible servers."""

    openai: bool = False
    """OpenAI and Azure: everything that Chat Completions has (metadata, store, verbosity, custom tools ...)."""
    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    required: str = "required"
    """How `tool_choice: required` is spelled."""
    json_schema: bool = True
    """Can follow a schema; else it has a mode for any JSON only."""
    stream_usage: bool = True
    """Takes `stream_options.include_usage`; those that do not, send usage anyway."""
    effort: Literal["", "reasoning_effort", "reasoning", "thinking"] = "reasoning_effort"
    """Where the reasoning effort goes; "" if the provider has none."""
    efforts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Efforts that are spelled otherwise, or are not there."""
    cache: Literal["", "prompt_cache_breakpoint", "cache_control"] = ""
    """How a cache breakpoint is marked on a content part."""
    web_search: bool = False
    """Searches the web, steered by `web_search_options`."""
    short_call_ids: bool = False
    """Call ids must be nine letters or digits."""
    parallel: bool = True
    """Takes `parallel_tool_calls`."""
    strict: bool = True
    """Takes `strict` on functions."""
    refused: frozenset[str] = frozenset()
    """Parameters that this server refuses."""


OPENAI = Dialect(openai=True, max_tokens="max_completion_tokens", cache="prompt_cache_breakpoint")
