"""The openai-chat wire: chat completions, in the dialects of everyone who offers them."""

from turnout_adapters.wires.chat.wire import ChatWire

__all__ = ["ChatWire"]
