"""What a provider is: one row of data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from turnout_adapters.dialect import Dialect

if TYPE_CHECKING:  # the rows are data; the adapters are loaded when they are needed
    from turnout_adapters.adapter import Adapter

AuthScheme = Literal["bearer", "api-key", "x-api-key", "x-goog-api-key", "token", "aws", "google", "ibm"]


@dataclass(frozen=True, slots=True)
class Provider:
    """Where a provider is, how it lets callers in, and what it speaks.

    `key_env` and `base_url_env` are tried in order. `wires` lists what it speaks, its default first; some models have
    another default (`registry.default_wire`).
    """

    name: str
    base_url: str | None
    """With {NAME} for what a deployment's parameter or the environment says (region, project, account)."""
    key_env: tuple[str, ...] = ()
    base_url_env: tuple[str, ...] = ()
    auth: AuthScheme = "bearer"
    wires: tuple[str, ...] = ("openai-chat",)
    dialect: Dialect = field(default_factory=Dialect)
    azure: bool = False
    """Its addresses follow Azure's rules (`azure.py`)."""
    key_optional: bool = False
    """Servers of one's own often have none."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with every request."""
    adapters: "Mapping[str, Callable[[Provider], Adapter]]" = field(default_factory=dict[str, Any])
    """Makers of the adapters of wires that are not built in, by the wire's name."""
    about: str = ""
    """One remark for `turnout providers`."""
