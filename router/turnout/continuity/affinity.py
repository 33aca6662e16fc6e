"""Where a call's state lives: unwraps the ids of a request, wraps those of a result.

Outgoing ids are set on the typed objects; incoming ones are verified before anything is sent. Items that only their
account can read (reasoning and compaction) carry an owned id too, so that a stateless conversation stays where its
encrypted content can be read.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, cast

from turnout.context import Draft
from turnout.continuity.ids import LONGEST_ID, IdCodec, Kind, domain_hash
from turnout.continuity.sealing import PRIVATE_ITEMS, Sealer
from turnout.continuity.turns import turn_key
from turnout.continuity.waiting import succeeded
from turnout.deployment import Deployment
from turnout.engine.port import IO
from turnout.errors import BadRequestError, NotFoundError, unknown_conversation, unknown_response
from turnout.protocols import Askable, Store

_RAW = re.compile(r"(?:[a-z]{2,8}_)?[0-9a-fA-F-]{16,128}")
"""What providers' own ids look like: hexadecimal, so that a damaged id of ours cannot pass for one."""
RETENTION = 30 * 24 * 3600.0
"""Seconds a response stays at the provider (OpenAI and Azure: 30 days)."""
_MADE_HERE = "resp_tn_"
"""Responses that were translated: no provider knows them."""
_MOST_HASHES = 4_096
_LONGEST_QUESTION = 0.25
"""Seconds to wait for the other processes' word, where the answer would be a 404 without it."""
_TALKS = domain_hash("conversations kept by turnout")
_BOUND = ("compaction", "item_reference")
"""Items that mean nothing without their account."""


Domains = Callable[[], set[str]]
"""The state domains that a call could go to; asked only for ids that do not say theirs."""


def _none() -> set[str]:
    return set()


@dataclass(frozen=True, slots=True, repr=False)
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
    draft: Draft | None = None
    """What is known of the conversation; None where no transcripts are kept."""


class _Found(NamedTuple):
    """What an id stands for."""

    domain: str | None
    """None: the account is not configured here (any more)."""
    prefer: str | None
    upstream: str
    key: str
    """Of its turn, in the transcript store."""

    @property
    def kept_here_only(self) -> bool:
        """True if no account can be asked for it."""
        return self.domain is None or self.upstream.startswith(_MADE_HERE)


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
        transcripts: bool = False,
    ) -> None:
        self._codec = codec
        self._store = store
        self._domains = domains
        self._accept_raw = accept_raw_ids
        self._own_items = own_items
        self._transcripts = transcripts
        self._hashes: dict[str, bytes] = {}

    # --- in

    def find(self, response_id: str, tenant: str, only: Domains, query: Mapping[str, Any]) -> Origin:
        """The account that has a response, and a query of it with the provider's own ids.

        Raises NotFoundError for an id that is not ours, BadRequestError for what is no id.
        """
        found = self._resolve(response_id, tenant, only, "response_id")
        draft = None
        if self._transcripts:
            draft = Draft(own=found.key, expand=found.kept_here_only)
        body = query if found.kept_here_only else self._query(query, tenant)
        return Origin(body, found.domain, found.prefer, found.upstream, draft=draft)

    def locate(self, body: Mapping[str, Any], tenant: str, only: Domains) -> Origin:
        """Finds the account that a request belongs to, and puts the provider's own ids into it.

        `only` tells the domains the called model group has, for raw ids. Raises NotFoundError for an id that is not
        ours (or whose account is not configured here), BadRequestError for one made with another secret.

        A response, a conversation, a compaction or an item that is referred to lives on one account, and the call must
        go there. Reasoning only has a `home`: elsewhere it is left out, and the result's route says so. What no account
        holds has a home too.
        """
        draft = Draft(body.get("input"), keep=body.get("store") is not False) if self._transcripts else None
        found: _Found | None = None
        previous = body.get("previous_response_id")
        if previous is not None:
            if not isinstance(previous, str):
                raise BadRequestError("previous_response_id must be a string", param="previous_response_id")
            found = self._resolve(previous, tenant, only, "previous_response_id")
            body = {**body, "previous_response_id": found.upstream}
            if draft is not None:
                draft = draft._replace(parent=found.key, previous_id=previous, expand=found.kept_here_only)
        owners: Mapping[int, str] = {}
        home: str | None = None
        items = body.get("input")
        if isinstance(items, list | tuple):
            body, owners, home = self._items(body, cast("Sequence[object]", items), tenant)
        held = [owners[index] for index in owners if _type_of(body["input"][index]) in _BOUND]
        pin = held[-1] if held else None
        if body.get("conversation") is not None:
            body, draft = self._conversation(body, draft, tenant)
        if found is not None and found.kept_here_only:
            home = found.domain
        elif found is not None:
            pin = found.domain
        elif body.get("conversation") is not None:
            pin = pin or self._account_of_conversation(only)
        return Origin(body, pin, None if found is None else found.prefer, None, home, owners, draft)

    async def learn(self, token: object, tenant: str, io: IO) -> bool:
        """Asks the other processes whose account a provider's own id belongs to; True if one of them knew."""
        store = self._store
        if not self._accept_raw or not isinstance(store, Askable) or not isinstance(token, str):
            return False
        if not _RAW.fullmatch(token):
            return False
        waiter = io.waiter()
        job = store.lookup([_key(tenant, self._hash(domain), token) for domain in list(self._domains)], waiter)
        return await succeeded(job, waiter, io, _LONGEST_QUESTION) and bool(job.value)

    def key_of(self, response_id: str, tenant: str) -> str | None:
        """The key of the turn of a response that we handed out."""
        try:
            owned = self._codec.unwrap(response_id, tenant)
        except NotFoundError:
            return None
        return turn_key(tenant, owned.domain, owned.upstream)

    def adopt(self, items: Sequence[Any], domains: Sequence[str], tenant: str) -> tuple[list[Any], Mapping[int, str]]:
        """Items of a transcript with the provider's own ids, and whose they are.

        `domains` names the account of an item where it is known. An id that cannot be verified any more (its secret
        was dropped) is left out, and nobody is its owner.
        """
        adopted: list[Any] = []
        owners: dict[int, str] = {}
        for index, (item, domain) in enumerate(zip(items, domains, strict=True)):
            if domain and _type_of(item) in PRIVATE_ITEMS:
                owners[index] = domain
            fields: Mapping[str, Any] = cast("Mapping[str, Any]", item) if isinstance(item, Mapping) else {}
            token: object = fields.get("id")
            if not isinstance(token, str) or not self._codec.has_our_shape(token):
                adopted.append(item)
                continue
            rest = {name: value for name, value in fields.items() if name != "id"}
            try:
                owned = self._codec.unwrap(token, tenant, "item")
            except NotFoundError:
                owners[index] = domain
            else:
                rest["id"] = owned.upstream
                owners[index] = self._domain(owned.domain) or ""
            adopted.append(rest)
        return adopted, owners

    def _resolve(self, token: str, tenant: str, only: Domains, name: str, kind: Kind = "response") -> _Found:
        try:
            owned = self._codec.unwrap(token, tenant, kind)
        except NotFoundError as error:
            if self._accept_raw and _RAW.fullmatch(token):
                return self._raw(token, tenant, only)
            error.param = name
            raise
        domain = self._domain(owned.domain)
        if domain is None and not self._transcripts:
            raise unknown_response(name)
        prefer = self._store.get(_key(tenant, owned.domain, owned.upstream))
        return _Found(domain, prefer, owned.upstream, turn_key(tenant, owned.domain, owned.upstream))

    def _query(self, query: Mapping[str, Any], tenant: str) -> Mapping[str, Any]:
        after: object = query.get("after")
        if after is None:
            return query
        if not isinstance(after, str) or len(after) > LONGEST_ID or not (after.isascii() and after.isprintable()):
            raise BadRequestError("after must be the id of an item", param="after")
        if not self._codec.has_our_shape(after):
            return query
        return {**query, "after": self._resolve(after, tenant, _none, "after", "item").upstream}

    def _raw(self, token: str, tenant: str, only: Domains) -> _Found:
        """A provider's own id: accepted if the store knows it, or if there is but one account it can belong to."""
        for domain in list(self._domains):
            deployment = self._store.get(_key(tenant, self._hash(domain), token))
            if deployment is not None:
                return _Found(domain, deployment, token, turn_key(tenant, self._hash(domain), token))
        candidates = only()
        if len(candidates) == 1:
            domain = next(iter(candidates))
            return _Found(domain, None, token, turn_key(tenant, self._hash(domain), token))
        raise unknown_response()

    def _items(
        self, body: Mapping[str, Any], items: Sequence[object], tenant: str
    ) -> tuple[Mapping[str, Any], Mapping[int, str], str | None]:
        rewritten: list[object] | None = None
        owners: dict[int, str] = {}
        for index, item in enumerate(items):
            said = plain(item)
            if said is not item:
                rewritten = list(items) if rewritten is None else rewritten
                rewritten[index] = said
            if not isinstance(said, Mapping):
                continue
            fields = cast("Mapping[str, Any]", said)
            token = fields.get("id")
            if not isinstance(token, str):
                continue
            if len(token) > LONGEST_ID:
                raise BadRequestError(f"an id may have {LONGEST_ID} characters", param=f"input[{index}].id")
            if not self._codec.has_our_shape(token):
                continue
            if not self._codec.looks_owned(token):
                raise BadRequestError(
                    "this item's id was made with another id_secret; add that secret to the list, or leave the id out",
                    param=f"input[{index}].id",
                )
            found = self._resolve(token, tenant, _none, f"input[{index}].id", "item")
            owners[index] = found.domain or ""
            if rewritten is None:
                rewritten = list(items)
            rewritten[index] = {**fields, "id": found.upstream}
        home = (owners[max(owners)] or None) if owners else None
        return (body if rewritten is None else {**body, "input": rewritten}), owners, home

    def _conversation(
        self, body: Mapping[str, Any], draft: Draft | None, tenant: str
    ) -> tuple[Mapping[str, Any], Draft | None]:
        """A conversation that is kept here leaves the body; a provider's own stays in it."""
        given: object = body["conversation"]
        token = cast("Mapping[str, Any]", given).get("id") if isinstance(given, Mapping) else given
        if not isinstance(token, str):
            raise BadRequestError("conversation must be an id, or an object with an id", param="conversation")
        if body.get("previous_response_id") is not None:
            raise BadRequestError("give previous_response_id or conversation, not both", param="conversation")
        if len(token) <= LONGEST_ID and not self._codec.has_our_shape(token):
            return body, draft
        own = self.conversation(token, tenant)
        if draft is None:
            raise unknown_conversation()
        rest = {name: value for name, value in body.items() if name != "conversation"}
        return rest, draft._replace(conversation=own, conversation_id=token, expand=True, keep=True)

    def conversation(self, token: str, tenant: str) -> str:
        """Our own id of a conversation that is kept here. Raises NotFoundError."""
        if not isinstance(token, str) or not isinstance(tenant, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise unknown_conversation()
        try:
            return self._codec.unwrap(token, tenant, "conversation").upstream
        except NotFoundError:
            raise unknown_conversation() from None

    def conversation_id(self, own: str, tenant: str) -> str:
        """The id that the caller gets for a conversation."""
        return self._codec.wrap(own, _TALKS, tenant, "conversation")

    def _account_of_conversation(self, only: Domains) -> str | None:
        candidates = only()
        if len(candidates) == 1:
            return next(iter(candidates))
        raise BadRequestError(
            "a conversation lives on one account, and this model group has several: call a deployment by its id, or a "
            "group whose deployments share one account",
            param="conversation",
        )

    def _domain(self, digest: bytes) -> str | None:
        return next((domain for domain in list(self._domains) if self._hash(domain) == digest), None)

    def _hash(self, domain: str) -> bytes:
        digest = self._hashes.get(domain)
        if digest is None:
            if len(self._hashes) >= _MOST_HASHES:  # of accounts that came and went
                self._hashes.clear()
            digest = self._hashes[domain] = domain_hash(domain)
        return digest

    # --- out

    def sealer(self, deployment: Deployment, tenant: str, stamps: Mapping[str, Any] | None = None) -> Sealer:
        """What wraps the ids of one deployment's answers for one tenant."""
        digest = self._hash(deployment.domain)

        def remember(upstream: str) -> None:
            self._store.set(_key(tenant, digest, upstream), deployment.id, RETENTION)

        wrap = partial(self._codec.wrap, domain=digest, tenant=tenant)
        wrap_item = partial(wrap, kind="item")
        return Sealer(wrap, wrap_item, remember, self._own_items, stamps or {})

    def forget(self, deployment: Deployment, tenant: str, upstream: str) -> None:
        """A response was deleted."""
        self._store.delete(_key(tenant, self._hash(deployment.domain), upstream))


def _key(tenant: str, digest: bytes, upstream: str) -> str:
    return f"response:{tenant}:{digest.hex()}:{upstream}"


def _type_of(item: object) -> object:
    return cast("Mapping[str, Any]", item).get("type") if isinstance(item, Mapping) else None


def plain(item: object) -> object:
    """An item of an earlier response's output, given back as the object it came as, in the form it was sent in."""
    dump: object = getattr(item, "to_dict", None)
    return dump() if callable(dump) else item
