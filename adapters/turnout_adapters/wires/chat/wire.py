"""The adapter of chat completions."""

from typing import Self

from turnout_adapters.adapter import Target, WireCall
from turnout_adapters.decoding import WholeTeller
from turnout_adapters.dialect import Dialect
from turnout_adapters.paths import segment
from turnout_adapters.provider import Provider
from turnout_adapters.reading import read
from turnout_adapters.translated import Encoded, ToldWire
from turnout_adapters.wires.chat.decode import ChatTeller
from turnout_adapters.wires.chat.encode import encode, mapped_in


class ChatWire(ToldWire):
    """Chat completions in one provider's dialect. Stateless."""

    wire = "openai-chat"
    path = "/chat/completions"

    def __init__(self, provider: str, dialect: Dialect) -> None:
        super().__init__(provider)
        self._dialect = dialect
        self.mapped = mapped_in(dialect)

    @classmethod
    def for_provider(cls, provider: Provider) -> Self:
        """The adapter in the provider's dialect."""
        return cls(provider.name, provider.dialect)

    def encode(self, call: WireCall, target: Target) -> Encoded:
        """Path and body. Azure's dated addresses have the deployment in the path."""
        request = read(call, self.provider, f"chat:{self.provider}", custom_tools=self._dialect.openai)
        body = encode(request, self._dialect)
        dated = target.provider == "azure" and target.base_url.endswith("/openai")
        path = f"/deployments/{segment(call.model)}{self.path}" if dated else self.path
        return Encoded(path, body, request.draft)

    def teller(self, call: WireCall) -> WholeTeller:
        """A reader for one answer."""
        return ChatTeller(self.provider, call.nonce)
