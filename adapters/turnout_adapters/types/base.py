"""The bases of all data: lenient in, strict out.

Unknown fields are kept and can be read as attributes. Fields that the published schema requires but an answer lacked
get schema-correct defaults, which `model_dump()` shows and `to_dict()` leaves out: the former is what strict readers
accept, the latter is what the provider sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, PrivateAttr, SerializeAsAny

from turnout_adapters.measures import LARGEST
from turnout_adapters.types.route import Route


class Open(BaseModel):
    """An object of which only what it holds is known."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    def to_dict(self) -> dict[str, Any]:
        """What the provider sent, ids aside."""
        return self.model_dump(mode="json", exclude_unset=True)

    def to_json(self) -> str:
        """`to_dict` as JSON text."""
        return self.model_dump_json(exclude_unset=True)

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError:
            raise KeyError(name) from None

    def get(self, name: str, default: Any = None) -> Any:
        """The field's value, as of a mapping."""
        return getattr(self, name, default)


def opened(value: Any) -> Any:
    """JSON objects, at any depth, as objects with attributes."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        # model_construct takes some names for its own
        return Open.model_validate({name: opened(inner) for name, inner in fields.items()})
    if isinstance(value, list):
        return [opened(inner) for inner in cast("list[Any]", value)]
    return value


Node = Annotated[SerializeAsAny[Any], PlainValidator(opened)]
"""Any JSON, objects readable by attribute."""
Count = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]
"""So many of something, or the place in a list."""


@dataclass(slots=True)
class About:
    """What is known of a result besides what the provider said. One object: each private field costs on every call."""

    route: Route | None = None
    request_id: str | None = None
    warnings: tuple[str, ...] = ()
    text_format: Any = None


class Result(Open):
    """Base of everything an operation returns."""

    essential: ClassVar[frozenset[str]] = frozenset()
    """Fields without which, or with something odd in which, an answer is none."""
    _about: About | None = PrivateAttr(None)

    @property
    def about(self) -> About:
        """What is known of this result besides its fields; for whoever made the call."""
        private = self.__pydantic_private__  # reading the attribute itself costs a microsecond
        if private is None:
            private = self.__pydantic_private__ = {}
        about = private.get("_about")
        if about is None:
            about = private["_about"] = About()
        return about

    @property
    def route(self) -> Route:
        """How this result was made: deployment, model group, attempts, fallback, affinity."""
        route = self.about.route
        if route is None:
            raise AttributeError("this object was not returned by a Router")
        return route

    @property
    def request_id(self) -> str | None:
        """The provider's request id."""
        return self.about.request_id

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of the request was left out (with `drop_params`) or only nearly honoured, one sentence each."""
        return self.about.warnings


def as_mapping(value: object) -> Mapping[str, Any] | None:
    """The value if it is a JSON object, else None."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else None
