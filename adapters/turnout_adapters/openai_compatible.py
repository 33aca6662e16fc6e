"""Providers that speak an OpenAI wire: one row of data each. How to add one: docs/providers.md."""

from turnout_adapters.dialect import OPENAI, Dialect
from turnout_adapters.provider import Provider

_RESPONSES_FIRST = ("openai-responses", "openai-chat")
_CHAT_FIRST = ("openai-chat", "openai-responses")
_NO_EFFORT = Dialect(effort="")
_OPENROUTER = Dialect(effort="reasoning", cache="cache_control")
_DEEPSEEK = Dialect(
    effort="thinking",
    efforts={"minimal": "high", "low": "high", "medium": "high", "xhigh": "max"},
    json_schema=False,
    parallel=False,
)
_MISTRAL = Dialect(required="any", short_call_ids=True, stream_usage=False, efforts={"minimal": "", "max": "high"})
_ONE_TOOL_CHOICE = Dialect(effort="", parallel=False)

OPENAI_COMPATIBLE = (
    Provider(
        "openai",
        "https://api.openai.com/v1",
        ("OPENAI_API_KEY",),
        ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        wires=_RESPONSES_FIRST,
        dialect=OPENAI,
    ),
    Provider(
        "azure",
        None,
        ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
        ("AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT"),
        auth="api-key",
        wires=_RESPONSES_FIRST,
        dialect=OPENAI,
        azure=True,
    ),
    Provider(
        "xai", "https://api.x.ai/v1", ("XAI_API_KEY",), ("XAI_API_BASE",), wires=_RESPONSES_FIRST,
        dialect=Dialect(max_tokens="max_completion_tokens"),
    ),
    Provider(
        "deepseek", "https://api.deepseek.com", ("DEEPSEEK_API_KEY",), ("DEEPSEEK_API_BASE",),
        wires=_RESPONSES_FIRST, dialect=_DEEPSEEK,
    ),
    Provider(
        "openrouter", "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",), ("OPENROUTER_API_BASE",),
        wires=_RESPONSES_FIRST, dialect=_OPENROUTER,
    ),
    Provider(
        "huggingface", "https://router.huggingface.co/v1", ("HF_TOKEN", "HUGGINGFACE_API_KEY"), ("HF_API_BASE",),
        wires=_RESPONSES_FIRST,
    ),
    Provider("mistral", "https://api.mistral.ai/v1", ("MISTRAL_API_KEY",), ("MISTRAL_API_BASE",), dialect=_MISTRAL),
    Provider(
        "groq", "https://api.groq.com/openai/v1", ("GROQ_API_KEY",), ("GROQ_API_BASE",), wires=_CHAT_FIRST,
        dialect=Dialect(max_tokens="max_completion_tokens"),
    ),
    Provider(
        "together_ai", "https://api.together.ai/v1",
        ("TOGETHER_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY"), ("TOGETHER_AI_API_BASE",),
    ),
    Provider(
        "perplexity", "https://api.perplexity.ai", ("PERPLEXITY_API_KEY", "PERPLEXITYAI_API_KEY"),
        ("PERPLEXITY_API_BASE",), dialect=Dialect(web_search=True, parallel=False, stream_usage=False),
    ),
    Provider(
        "fireworks_ai", "https://api.fireworks.ai/inference/v1", ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
        ("FIREWORKS_AI_API_BASE",), wires=_CHAT_FIRST,
    ),
    Provider("deepinfra", "https://api.deepinfra.com/v1/openai", ("DEEPINFRA_API_KEY",), ("DEEPINFRA_API_BASE",)),
    Provider("cerebras", "https://api.cerebras.ai/v1", ("CEREBRAS_API_KEY",), ("CEREBRAS_API_BASE",),
             dialect=Dialect(max_tokens="max_completion_tokens")),
    Provider("sambanova", "https://api.sambanova.ai/v1", ("SAMBANOVA_API_KEY",), ("SAMBANOVA_API_BASE",)),
    Provider("nvidia_nim", "https://integrate.api.nvidia.com/v1", ("NVIDIA_NIM_API_KEY",), ("NVIDIA_NIM_API_BASE",)),
    Provider("moonshot", "https://api.moonshot.ai/v1", ("MOONSHOT_API_KEY",), ("MOONSHOT_API_BASE",)),
    Provider("zai", "https://api.z.ai/api/paas/v4", ("ZAI_API_KEY",), ("ZAI_API_BASE",),
             dialect=Dialect(effort="thinking", json_schema=False, parallel=False)),
    Provider("novita", "https://api.novita.ai/openai/v1", ("NOVITA_API_KEY",), ("NOVITA_API_BASE",)),
    Provider("nebius", "https://api.tokenfactory.nebius.com/v1", ("NEBIUS_API_KEY",), ("NEBIUS_API_BASE",)),
    Provider("friendliai", "https://api.friendli.ai/serverless/v1", ("FRIENDLI_TOKEN", "FRIENDLIAI_API_KEY"),
             ("FRIENDLI_API_BASE",)),
    Provider("featherless_ai", "https://api.featherless.ai/v1", ("FEATHERLESS_AI_API_KEY",),
             ("FEATHERLESS_API_BASE",), dialect=_NO_EFFORT),
    Provider("baseten", "https://inference.baseten.co/v1", ("BASETEN_API_KEY",), ("BASETEN_API_BASE",)),
    Provider("ai21", "https://api.ai21.com/studio/v1", ("AI21_API_KEY",), ("AI21_API_BASE",), dialect=_ONE_TOOL_CHOICE),
    Provider("aiml", "https://api.aimlapi.com/v1", ("AIML_API_KEY",), ("AIML_API_BASE",)),
    Provider("meta_llama", "https://api.llama.com/compat/v1", ("LLAMA_API_KEY",), ("LLAMA_API_BASE",),
             dialect=Dialect(effort="", max_tokens="max_completion_tokens")),
    Provider("meta", "https://api.meta.ai/v1", ("META_API_KEY", "MODEL_API_KEY"), ("META_API_BASE",),
             wires=_RESPONSES_FIRST),
    Provider("cloudflare", "https://api.cloudflare.com/client/v4/accounts/{CLOUDFLARE_ACCOUNT_ID}/ai/v1",
             ("CLOUDFLARE_API_KEY", "CLOUDFLARE_API_TOKEN"), ("CLOUDFLARE_API_BASE",), wires=_CHAT_FIRST,
             dialect=_ONE_TOOL_CHOICE),
    Provider("databricks", None, ("DATABRICKS_API_KEY", "DATABRICKS_TOKEN"), ("DATABRICKS_API_BASE",),
             dialect=Dialect(parallel=False), about="api_base is https://{workspace}/serving-endpoints"),
    Provider("snowflake", None, ("SNOWFLAKE_JWT", "SNOWFLAKE_TOKEN"), ("SNOWFLAKE_API_BASE",),
             about="api_base is https://{account}.snowflakecomputing.com/api/v2/cortex/v1"),
    Provider("vercel_ai_gateway", "https://ai-gateway.vercel.sh/v1",
             ("AI_GATEWAY_API_KEY", "VERCEL_AI_GATEWAY_API_KEY"), ("VERCEL_AI_GATEWAY_API_BASE",),
             wires=_CHAT_FIRST, dialect=Dialect(cache="cache_control")),
    Provider("bedrock_mantle", "https://bedrock-mantle.{aws_region_name}.api.aws/v1", ("AWS_BEARER_TOKEN_BEDROCK",),
             ("BEDROCK_MANTLE_API_BASE",), auth="aws", wires=_RESPONSES_FIRST,
             about="OpenAI's models on Bedrock's newer endpoint"),
    Provider("hosted_vllm", "http://localhost:8000/v1", ("HOSTED_VLLM_API_KEY", "VLLM_API_KEY"),
             ("HOSTED_VLLM_API_BASE",), wires=_CHAT_FIRST, key_optional=True),
    Provider("vllm", "http://localhost:8000/v1", ("VLLM_API_KEY", "HOSTED_VLLM_API_KEY"), ("VLLM_API_BASE",),
             wires=_CHAT_FIRST, key_optional=True),
    Provider("ollama", "http://localhost:11434/v1", ("OLLAMA_API_KEY",), ("OLLAMA_API_BASE",),
             wires=("openai-chat", "ollama-chat", "openai-responses"), key_optional=True,
             about="ollama-chat sets num_ctx; the compatible wire cannot"),
    Provider("lm_studio", "http://localhost:1234/v1", ("LM_STUDIO_API_KEY",), ("LM_STUDIO_API_BASE",),
             wires=_CHAT_FIRST, key_optional=True),
    Provider("llamacpp", "http://localhost:8080/v1", ("LLAMACPP_API_KEY",), ("LLAMACPP_API_BASE",),
             wires=_CHAT_FIRST, key_optional=True),
    Provider("xinference", "http://localhost:9997/v1", ("XINFERENCE_API_KEY",), ("XINFERENCE_API_BASE",),
             key_optional=True),
    Provider("voyage", "https://api.voyageai.com/v1", ("VOYAGE_API_KEY",), ("VOYAGE_API_BASE",), wires=(),
             about="embeddings and reranking only"),
)  # fmt: skip
