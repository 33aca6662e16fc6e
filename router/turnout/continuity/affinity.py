"""Where a call's state lives: unwraps the ids of a request, wraps those of a result.

Outgoing ids are set on the typed objects; incoming ones are verified before anything is sent. Items that only their
account can read (reasoning and compaction) carry an owned id too, so that a stateless conversation stays where its
encrypted content can be read.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from turnout.continuity.ids import IdCodec, domain_hash
from turnout.deployment import Deployment
from turnout.errors import BadRequestError, NotFoundError
from turnout.protocols import Store
from turnout_adapters.types import Result, StreamEvent

_RAW = re.compile(r"^(?:[a-z]{2,8}_)?[0-9a-fA-F-]{16,128}$")
"""What providers' own ids look like: hexadecimal, so that a damaged id of ours cannot pass for one."""
RETENTION = 30 * 24 * 3600.0
"""Seconds a response stays at the provider (OpenAI and Azure: 30 days)."""
_PRIVATE_ITEMS = ("reasoning", "compaction")


Domains = Callable[[], set[str]]
"""The state domains that a call could go to; asked only for ids that do not say theirs."""


def _none() -> set[str]:
    return set()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the state that a request refers to lives; all None if it refers to none."""

    body: Mapping[str, Any]
    domain: str | None = None
    prefer: str | None = None
    response_id: str | None = None
    home: str | None = None
    """The account that made the last private item: where the call should go, if it can."""
    owners: Mapping[int, str] = field(default_factory=dict[int, str])
    """Index to account, of the private items of the input."""


class Continuity:
    """Ids in and out, for one Router."""

    def __init__(
        self,
        codec: IdCodec,
        store: Store,
        domains: Mapping[str, Sequence[Deployment]],
        *,
        accept_raw_ids: bool = False,
        own_items: bool = True,
    ) -> None:
        self._codec = codec
        self._store = store
        self._domains = domains
        self._accept_raw = accept_raw_ids
        self._own_items = own_items
        self._hashes: dict[str, bytes] = {}

    # --- in

    def locate(self, body: Mapping[str, Any], response_id: str | None, tenant: str, only: Domains) -> Origin:
        """Finds the account that a request belongs to, and puts the provider's own ids into it.

        `only` tells the domains the called model group has, for raw ids. Raises NotFoundError for an id that is not
        ours (or whose account is not configured here), BadRequestError for one made with another secret.

        A response, a conversation or a compaction lives on one account, and the call must go there. Reasoning only
        has a `home`: elsewhere it is left out, and the result's route says so.
        """
        found: str | None = None
        prefer: str | None = None
        owners: Mapping[int, str] = {}
        home: str | None = None
        upstream_id: str | None = None
        if response_id is not None:
            found, prefer, upstream_id = self._resolve(response_id, tenant, only, "response_id")
        previous = body.get("previous_response_id")
        if previous is not None:
            if not isinstance(previous, str):
                raise BadRequestError("previous_response_id must be a string", param="previous_response_id")
            found, prefer, raw = self._resolve(previous, tenant, only, "previous_response_id")
            body = {**body, "previous_response_id": raw}
        items = body.get("input")
        if isinstance(items, list | tuple):
            body, owners, home = self._items(body, cast("Sequence[object]", items), tenant)
            held = [owners[index] for index in owners if _type_of(body["input"][index]) == "compaction"]
            found = found or (held[-1] if held else None)
        conversation = body.get("conversation")
        if conversation is not None and found is None:
            found = self._conversation(only)
        return Origin(body, found, prefer, upstream_id, home, owners)

    def _resolve(self, token: str, tenant: str, only: Domains, name: str) -> tuple[str, str | None, str]:
        try:
            owned = self._codec.unwrap(token, tenant)
        except NotFoundError as error:
            if self._accept_raw and _RAW.match(token):
                return self._raw(token, tenant, only)
            error.param = name
            raise
        domain = self._domain(owned.domain)
        if domain is None:
            raise NotFoundError("no response with this id", code="response_not_found", param=name)
        return domain, self._store.get(_key(tenant, owned.domain, owned.upstream)), owned.upstream

    def _raw(self, token: str, tenant: str, only: Domains) -> tuple[str, str | None, str]:
        """A provider's own id: accepted if the store knows it, or if there is but one account it can belong to."""
        for domain in self._domains:
            deployment = self._store.get(_key(tenant, self._hash(domain), token))
            if deployment is not None:
                return domain, deployment, token
        candidates = only()
        if len(candidates) == 1:
            return next(iter(candidates)), None, token
        raise NotFoundError("no response with this id", code="response_not_found")

    def _items(
        self, body: Mapping[str, Any], items: Sequence[object], tenant: str
    ) -> tuple[Mapping[str, Any], Mapping[int, str], str | None]:
        rewritten: list[object] | None = None
        owners: dict[int, str] = {}
        for index, item in enumerate(items):
            plain = _plain(item)
            if plain is not item:
                rewritten = list(items) if rewritten is None else rewritten
                rewritten[index] = plain
            if not isinstance(plain, Mapping):
                continue
            fields = cast("Mapping[str, Any]", plain)
            token = fields.get("id")
            if not isinstance(token, str) or not self._codec.has_our_shape(token):
                continue
            if not self._codec.looks_owned(token):
                raise BadRequestError(
                    "this item's id was made with another id_secret; add that secret to the list, or leave the id out",
                    param=f"input[{index}].id",
                )
            domain, _, raw = self._resolve(token, tenant, _none, f"input[{index}].id")
            owners[index] = domain
            if rewritten is None:
                rewritten = list(items)
            rewritten[index] = {**fields, "id": raw}
        home = owners[max(owners)] if owners else None
        return (body if rewritten is None else {**body, "input": rewritten}), owners, home

    def _conversation(self, only: Domains) -> str | None:
        candidates = only()
        if len(candidates) == 1:
            return next(iter(candidates))
        raise BadRequestError(
            "a conversation lives on one account, and this model group has several: call a deployment by its id, or a "
            "group whose deployments share one account",
            param="conversation",
        )

    def _domain(self, digest: bytes) -> str | None:
        return next((domain for domain in self._domains if self._hash(domain) == digest), None)

    def _hash(self, domain: str) -> bytes:
        digest = self._hashes.get(domain)
        if digest is None:
            digest = self._hashes[domain] = domain_hash(domain)
        return digest

    # --- out

    def sealer(self, deployment: Deployment, tenant: str) -> "Sealer":
        """What wraps the ids of one deployment's answers for one tenant."""
        digest = self._hash(deployment.domain)

        def remember(upstream: str) -> None:
            self._store.set(_key(tenant, digest, upstream), deployment.id, RETENTION)

        return Sealer(lambda upstream: self._codec.wrap(upstream, digest, tenant), remember, self._own_items)

    def forget(self, deployment: Deployment, tenant: str, upstream: str) -> None:
        """A response was deleted."""
        self._store.delete(_key(tenant, self._hash(deployment.domain), upstream))


def _key(tenant: str, digest: bytes, upstream: str) -> str:
    return f"response:{tenant}:{digest.hex()}:{upstream}"


def _type_of(item: object) -> object:
    return cast("Mapping[str, Any]", item).get("type") if isinstance(item, Mapping) else None


def _plain(item: object) -> object:
    """An item of an earlier response's output, given back as the object it came as, in the form it was sent in."""
    dump: object = getattr(item, "to_dict", None)
    return dump() if callable(dump) else item


@dataclass(slots=True)
class Sealer:
    """Wraps ids on results and events."""

    wrap: Callable[[str], str]
    remember: Callable[[str], None]
    own_items: bool = True
    """Items that only their account can read get an id of ours too."""
    wrapped: dict[str, str] = field(default_factory=dict[str, str])
    """Ids of such items so far, by the provider's: the events inside an item name it too."""

    def result(self, result: Result) -> None:
        """Wraps every id of ours on a complete result."""
        fields: Any = result
        if isinstance(getattr(result, "id", None), str) and getattr(result, "object", None) != "response.input_tokens":
            upstream = fields.id
            if getattr(result, "object", "response") == "response" and upstream:
                self.remember(upstream)
            if upstream:
                fields.id = self.wrap(upstream)
        if getattr(result, "previous_response_id", None):
            fields.previous_response_id = self.wrap(fields.previous_response_id)
        for item in [*(getattr(result, "output", None) or ()), *(getattr(result, "data", None) or ())]:
            self.item(item)

    def item(self, item: Any) -> None:
        """Wraps the id of an item that only its account can read."""
        if (
            self.own_items
            and getattr(item, "type", None) in _PRIVATE_ITEMS
            and isinstance(getattr(item, "id", None), str)
            and item.id
        ):
            upstream = item.id
            item.id = self.wrapped[upstream] = self.wrap(upstream)

    def event(self, event: StreamEvent) -> None:
        """Wraps the ids on one event, the same way as on the complete result."""
        fields: Any = event
        response = getattr(event, "response", None)
        if response is not None:
            self.result(response)
            return
        item = getattr(event, "item", None)
        if item is not None:
            self.item(item)
        elif self.own_items and isinstance(getattr(event, "item_id", None), str):
            if fields.item_id in self.wrapped:
                fields.item_id = self.wrapped[fields.item_id]
            elif event.type.startswith("response.reasoning"):
                fields.item_id = self.wrap(fields.item_id)
