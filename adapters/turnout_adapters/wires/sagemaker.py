"""The sagemaker wire: an endpoint of one's own whose container takes chat messages (LMI, TGI, vLLM)."""

from turnout_adapters.adapter import Target, WireCall
from turnout_adapters.eventstream import EventStreamSplitter
from turnout_adapters.framing import Framing, Nested
from turnout_adapters.paths import segment
from turnout_adapters.sse import SSESplitter
from turnout_adapters.translated import Encoded
from turnout_adapters.wires.chat.wire import ChatWire


class SageMakerWire(ChatWire):
    """Chat completions through InvokeEndpoint; a stream is server-sent events inside AWS's frames. Stateless."""

    wire = "sagemaker"

    def encode(self, call: WireCall, target: Target) -> Encoded:
        """Path and body."""
        encoded = super().encode(call, target)
        verb = "invocations-response-stream" if call.stream else "invocations"
        return encoded._replace(path=f"/endpoints/{segment(call.model)}/{verb}")

    def framing(self) -> Framing:
        """Server-sent events inside AWS's frames."""
        return Nested(EventStreamSplitter(self.provider, inner="raw"), SSESplitter())
