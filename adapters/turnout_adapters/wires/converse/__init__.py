"""The bedrock-converse wire."""

from turnout_adapters.wires.converse.wire import ConverseWire

__all__ = ["ConverseWire"]
