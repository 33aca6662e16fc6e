"""The gemini wire: generateContent on AI Studio and Vertex AI."""

from turnout_adapters.wires.gemini.wire import GeminiWire

__all__ = ["GeminiWire"]
