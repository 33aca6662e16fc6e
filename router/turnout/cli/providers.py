"""`turnout providers`: who can be called, from the rows that the code itself uses."""

from typing import Any

from rich.console import Console
from rich.table import Table

from turnout_adapters.provider import Provider
from turnout_adapters.providers import GONE, PROVIDERS

_AUTH = {"aws": "AWS keys, profile or role", "google": "Google credentials", "ibm": "IBM API key"}


def facts(row: Provider) -> dict[str, Any]:
    """One provider as JSON has it."""
    dialect = row.dialect
    chat = any(wire in row.wires for wire in ("openai-chat", "sagemaker", "watsonx-chat"))
    return {
        "name": row.name,
        "wires": list(row.wires),
        "base_url": row.base_url,
        "api_key": list(row.key_env),
        "api_base": list(row.base_url_env),
        "auth": row.auth,
        "key_optional": row.key_optional,
        "chat": {
            "json_schema": dialect.json_schema,
            "reasoning_effort": bool(dialect.effort),
            "parallel_tool_calls": dialect.parallel,
            "strict_tools": dialect.strict,
            "web_search": dialect.web_search,
        }
        if chat
        else None,
        "about": row.about,
    }


def show_table(console: Console) -> None:
    """The list for people."""
    table = Table(title="Providers: write provider/model", title_justify="left")
    for head in ("provider", "wires (default first)", "credentials", "address", "remarks"):
        table.add_column(head, overflow="fold")
    for row in sorted(PROVIDERS.values(), key=lambda one: one.name):
        keys = [*row.key_env, *([_AUTH[row.auth]] if row.auth in _AUTH else [])]
        if row.key_optional:
            keys.append("(optional)")
        table.add_row(
            row.name,
            "\n".join(row.wires) or "none",
            "\n".join(keys),
            row.base_url or f"api_base or {row.base_url_env[0]}",
            _remarks(row),
        )
    console.print(table)
    for name, told in GONE.items():
        console.print(f"{name}: {told}", highlight=False)


def _remarks(row: Provider) -> str:
    dialect = row.dialect
    lacking = []
    if "openai-chat" in row.wires and not dialect.openai:
        lacking = [
            name
            for name, there in (
                ("JSON schema", dialect.json_schema),
                ("reasoning effort", bool(dialect.effort)),
                ("parallel_tool_calls", dialect.parallel),
            )
            if not there
        ]
    chat = f"chat without {', '.join(lacking)}" if lacking else ""
    return "; ".join(filter(None, (row.about, chat)))
