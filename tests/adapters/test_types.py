"""The models of what providers send."""

from collections.abc import Iterator

from turnout_adapters.types import Response, StreamEvent
from turnout_adapters.types.base import Open


def every(model: type[Open]) -> Iterator[type[Open]]:
    yield model
    for one in model.__subclasses__():
        yield from every(one)


def test_no_model_is_left_unbuilt() -> None:
    """Objects are made without validation, and pydantic before 2.14 cannot serialise those of an unbuilt model."""
    models = set(every(Open))
    assert {Response, StreamEvent} < models
    assert [one.__name__ for one in models if not one.__pydantic_complete__] == []
