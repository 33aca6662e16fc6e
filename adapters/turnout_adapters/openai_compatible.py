"""Providers that speak an OpenAI wire: one row of data each."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Provider:
    """Where a provider is and how it lets callers in.

    `key_env` and `base_url_env` are tried in order. `wires` lists what it speaks, its default first.
    """

    name: str
    base_url: str | None
    key_env: tuple[str, ...]
    base_url_env: tuple[str, ...] = ()
    auth: Literal["bearer", "api-key"] = "bearer"
    wires: tuple[str, ...] = ("openai-responses",)
    azure: bool = False
    """Its addresses follow Azure's rules (`azure.py`)."""


_ROWS = (
    Provider("openai", "https://api.openai.com/v1", ("OPENAI_API_KEY",), ("OPENAI_BASE_URL", "OPENAI_API_BASE")),
    Provider(
        "azure",
        None,
        ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
        ("AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT"),
        auth="api-key",
        azure=True,
    ),
    Provider("azure_ai", None, ("AZURE_AI_API_KEY",), ("AZURE_AI_API_BASE",), auth="api-key", azure=True),
    Provider("xai", "https://api.x.ai/v1", ("XAI_API_KEY",), ("XAI_API_BASE",)),
    Provider("deepseek", "https://api.deepseek.com", ("DEEPSEEK_API_KEY",), ("DEEPSEEK_API_BASE",)),
    Provider("openrouter", "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",), ("OPENROUTER_API_BASE",)),
    Provider("huggingface", "https://router.huggingface.co/v1", ("HF_TOKEN",), ("HF_API_BASE",)),
)

PROVIDERS: dict[str, Provider] = {row.name: row for row in _ROWS}
