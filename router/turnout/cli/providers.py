"""`turnout providers`: who can be called, from the rows that the code itself uses."""

from typing import Any

from rich.console import Console
from rich.table import Table

from turnout_adapters.provider import Provider
from turnout_adapters.providers import GONE, PROVIDERS
from turnout_adapters.registry import adapter_for

_AUTH = {"aws": "AWS keys, profile or role", "google": "Google credentials", "ibm": "IBM API key"}


_ALL = "all of OpenAI's"


def facts(row: Provider) -> dict[str, Any]:
    """One provider as JSON has it."""
    return {
        "name": row.name,
        "wires": {wire: {"parameters": parameters(row, wire)} for wire in row.wires},
        "base_url": row.base_url,
        "api_key": list(row.key_env),
        "api_base": list(row.base_url_env),
        "auth": row.auth,
        "key_optional": row.key_optional,
        "chat": _chat(row),
        "about": row.about,
    }


def parameters(row: Provider, wire: str) -> list[str] | str:
    """What a wire honours besides input, instructions, tools, text, reasoning and max_output_tokens."""
    mapped = getattr(adapter_for(row, wire), "mapped", None)
    return _ALL if mapped is None else sorted(mapped)


def _chat(row: Provider) -> dict[str, bool] | None:
    dialect = row.dialect
    if not any(wire in row.wires for wire in ("openai-chat", "sagemaker", "watsonx-chat")):
        return None
    return {
        "json_schema": dialect.json_schema,
        "reasoning_effort": bool(dialect.effort),
        "parallel_tool_calls": dialect.parallel,
        "strict_tools": dialect.strict,
        "web_search": dialect.web_search,
    }


def show_one(console: Console, row: Provider) -> None:
    """One provider, for people."""
    console.print(f"[bold]{row.name}[/bold]  {_remarks(row)}", highlight=False)
    keys = [
        *row.key_env,
        *([_AUTH[row.auth]] if row.auth in _AUTH else []),
        *(["optional"] if row.key_optional else []),
    ]
    console.print(f"credentials  {', '.join(keys)}", highlight=False)
    console.print(f"address      {row.base_url or 'api_base'} ({', '.join(row.base_url_env)})", highlight=False)
    for number, wire in enumerate(row.wires):
        told = parameters(row, wire)
        text = told if isinstance(told, str) else ", ".join(told) or "no further parameters"
        console.print(f"wire         {wire}{' (default)' if number == 0 else ''}: {text}", highlight=False)


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
