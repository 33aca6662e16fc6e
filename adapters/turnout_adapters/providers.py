"""All providers by name: those with a wire of their own, the OpenAI-compatible ones, and those that are gone."""

from collections.abc import Mapping

from turnout_adapters.dialect import Dialect
from turnout_adapters.openai_compatible import OPENAI_COMPATIBLE
from turnout_adapters.provider import Provider

_NATIVE = (
    Provider(
        "anthropic", "https://api.anthropic.com", ("ANTHROPIC_API_KEY",), ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"),
        auth="x-api-key", wires=("anthropic-messages",),
    ),
    Provider(
        "gemini", "https://generativelanguage.googleapis.com/v1beta", ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        ("GEMINI_API_BASE",), auth="x-goog-api-key", wires=("gemini", "openai-chat"), about="Google AI Studio",
    ),
    Provider(
        "vertex_ai", None, (), ("VERTEXAI_API_BASE", "VERTEX_API_BASE"), auth="google",
        wires=("gemini", "anthropic-messages", "openai-chat"),
        about="Gemini and Claude by their own wires, other models by openai-chat; needs the extra `vertex`",
    ),
    Provider(
        "bedrock", None, ("AWS_BEARER_TOKEN_BEDROCK",), ("AWS_BEDROCK_RUNTIME_ENDPOINT", "BEDROCK_API_BASE"),
        auth="aws", wires=("bedrock-converse", "anthropic-messages", "openai-responses", "openai-chat"),
        dialect=Dialect(max_tokens="max_completion_tokens"),
        about="Claude by InvokeModel, OpenAI's by Responses, others by Converse; extra `bedrock` for signing",
    ),
    Provider(
        "azure_ai", None, ("AZURE_AI_API_KEY",), ("AZURE_AI_API_BASE",), auth="api-key",
        wires=("openai-responses", "openai-chat", "anthropic-messages"), azure=True,
        dialect=Dialect(max_tokens="max_completion_tokens"),
        about="Foundry; an api_base that ends in /models is the model inference API; Claude by anthropic-messages",
    ),
    Provider(
        "cohere", "https://api.cohere.com", ("COHERE_API_KEY", "CO_API_KEY"), ("COHERE_API_BASE",),
        wires=("cohere-chat",),
    ),
    Provider(
        "watsonx", "https://{watsonx_region_name}.ml.cloud.ibm.com", ("WATSONX_API_KEY", "WATSONX_APIKEY"),
        ("WATSONX_URL", "WATSONX_API_BASE"), auth="ibm", wires=("watsonx-chat", "watsonx-text"),
        dialect=Dialect(parallel=False, stream_usage=False),
    ),
    Provider(
        "sagemaker", "https://runtime.sagemaker.{aws_region_name}.amazonaws.com", (), ("SAGEMAKER_API_BASE",),
        auth="aws", wires=("sagemaker",), about="containers that take chat messages; needs the extra `bedrock`",
    ),
    Provider(
        "replicate", "https://api.replicate.com/v1", ("REPLICATE_API_KEY", "REPLICATE_API_TOKEN"),
        ("REPLICATE_API_BASE",), wires=("replicate",), about="text models; no tools",
    ),
    Provider(
        "nlp_cloud", "https://api.nlpcloud.io/v1", ("NLP_CLOUD_API_KEY",), ("NLP_CLOUD_API_BASE",), auth="token",
        wires=("nlp-cloud",), about="chatbot models; text only, not streamed",
    ),
)  # fmt: skip

PROVIDERS: Mapping[str, Provider] = {row.name: row for row in (*OPENAI_COMPATIBLE, *_NATIVE)}

ALIASES: Mapping[str, str] = {
    "vertex_ai_beta": "vertex_ai", "cohere_chat": "cohere", "ollama_chat": "ollama", "sagemaker_chat": "sagemaker",
    "google_ai_studio": "gemini", "together": "together_ai",
    "fireworks": "fireworks_ai",
}  # fmt: skip
"""Other names that LiteLLM's users know them by."""

GONE: Mapping[str, str] = {
    "anyscale": "Anyscale ended its hosted endpoints on 2024-08-01; use together_ai, fireworks_ai or deepinfra",
    "palm": "Google shut the PaLM API down in 2024; use gemini",
    "petals": "the public Petals service is out of use (seen 2026-11, its end is not dated); use ollama or hosted_vllm",
    "aleph_alpha": "Aleph Alpha's public API is deprecated (seen 2026-11, its end is not dated); use mistral",
    "empower": "Empower lists no models any more (seen 2026-11, its end is not dated); use together_ai or fireworks_ai",
    "galadriel": "Galadriel lists no models any more (seen 2026-11, its end is not dated); use together_ai or groq",
}
"""What to say of providers that are no more."""
