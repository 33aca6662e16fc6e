"""The names of the parameters of each operation (OpenAI's, as of SDK 3.52)."""

CREATE_PARAMS = frozenset(
    """
    access_programs background client_metadata context_management conversation frequency_penalty image include input
    instructions max_output_tokens max_tool_calls metadata moderation parallel_tool_calls presence_penalty
    previous_response_id prompt prompt_cache_key prompt_cache_options prompt_cache_retention reasoning
    safety_identifier service_tier store stream stream_options temperature text tool_choice tools top_logprobs top_p
    truncation user
    """.split()
)
COMPACT_PARAMS = frozenset(
    """
    image input instructions previous_response_id prompt_cache_key prompt_cache_options prompt_cache_retention
    service_tier
    """.split()
)
INPUT_TOKENS_PARAMS = frozenset(
    """
    conversation input instructions parallel_tool_calls personality previous_response_id reasoning text tool_choice
    tools truncation
    """.split()
)
RETRIEVE_PARAMS = frozenset({"include", "include_obfuscation", "starting_after", "stream"})
INPUT_ITEMS_PARAMS = frozenset({"after", "include", "limit", "order"})
