"""The anthropic-messages wire: Anthropic's own API, and Claude on Vertex AI, Bedrock (InvokeModel) and Foundry."""

from turnout_adapters.wires.anthropic.wire import AnthropicWire

__all__ = ["AnthropicWire"]
