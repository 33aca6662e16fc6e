"""Whatever happens to accounts, stores, secrets and time: an answer has its own history, whole, or there is none.

Real Routers, fake accounts behind sockets that answer with every word of the history they were sent, and a model of
what each conversation should be.
"""

from math import inf
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.router.continuity.model import TTL, Said, Talk, text_of
from tests.router.continuity.world import (
    ACCOUNTS,
    GROUPS,
    HOLE,
    NO_TALK,
    TENANTS,
    TOOLS,
    UNKNOWN,
    WHICH,
    World,
    words_heard,
)
from turnout import NotFoundError, TurnoutError
from turnout.sim.words import new_word, read_answer

GROUP = st.sampled_from(sorted(GROUPS))
HOW = st.fixed_dictionaries(
    {
        "stream": st.booleans(),
        "store": st.sampled_from([None, None, None, None, True, False]),
        "tool": st.sampled_from([False, False, True]),
        "reasons": st.booleans(),
        "behind": st.sampled_from([False, False, False, True]),
    }
)
Turns = list[tuple[str, dict[str, Any]]]
"""Where each is asked, and how."""
TURNS = st.lists(st.tuples(GROUP, HOW), min_size=1, max_size=4)
REASONS = {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"]}


class ConversationMachine(World):
    """What callers do, and what they may see."""

    # --- talking

    @initialize(how=HOW)
    def begin_everywhere(self, how: dict[str, Any]) -> None:
        for group in GROUPS:
            self.begin(group, "ann", how)

    @rule(group=GROUP, tenant=st.sampled_from(TENANTS), how=HOW)
    def begin(self, group: str, tenant: str, how: dict[str, Any]) -> None:
        self.respond(group, None, tenant, how)

    @precondition(lambda self: self.said)
    @rule(
        which=WHICH, turns=st.lists(st.tuples(GROUP, HOW), min_size=1, max_size=4), pause=st.sampled_from([0, 0, 0.6])
    )
    def follow(self, which: int, turns: list[tuple[str, dict[str, Any]]], pause: float) -> None:
        """Goes on from any response, perhaps for several turns, perhaps over a long time."""
        before = self.nth(which)
        for group, how in turns:
            self.time += pause * TTL
            after = self.respond(group, before, before.tenant, how)
            if after is None:
                return
            before = after

    @precondition(lambda self: self.said)
    @rule(which=WHICH, turns=TURNS)
    def branch(self, which: int, turns: Turns) -> None:
        """Several follow-ups of one response."""
        before = self.nth(which)
        for group, how in turns:
            self.respond(group, before, before.tenant, how)

    def respond(self, group: str, before: Said | None, tenant: str, how: dict[str, Any]) -> Said | None:
        more = {"stream": how["stream"], "tenant": tenant, **(REASONS if how["reasons"] else {})}
        if how["store"] is not None:
            more["store"] = how["store"]
        if before is not None:
            more["previous_response_id"] = before.id
        if how["behind"] and group == "accounts" and how["store"] is not False and not how["stream"]:
            more["background"] = True
        hope, requests = self.hope(before, group), self.requests
        word, given = self.given(before, tool=how["tool"])
        try:
            response, region = self.ask(group, given, more)
        except TurnoutError as error:
            assert hope != "answer", f"{type(error).__name__}: {error}"
            kept_here = before is not None and (before.region not in ACCOUNTS or before.secret not in self.secrets)
            if hope == "refusal" and kept_here:
                assert str(error) in (UNKNOWN, HOLE)
                assert isinstance(error, NotFoundError)
                assert self.requests == requests
            return None
        assert hope != "refusal"
        return self.note(response, region, before, word, tenant, kept=how["store"] is not False)

    @precondition(lambda self: self.said)
    @rule(group=GROUP, which=WHICH)
    def leave_early(self, group: str, which: int) -> None:
        """A stream of which the caller reads one event."""
        before = self.nth(which)
        hope = self.hope(before, group)
        word, given = self.given(before)
        try:
            stream = self.router.responses(
                group, given, stream=True, tools=TOOLS, previous_response_id=before.id, tenant=before.tenant
            )
        except TurnoutError as error:
            assert hope != "answer", error
            return
        with stream:
            first: Any = next(stream)
        region = stream.route.deployment.partition("/")[2]
        if stream.response is not None:
            self.note(stream.response, region, before, word, before.tenant, kept=True)
        elif region in ACCOUNTS:
            raw = list(self.account(region).responses)[-1]
            heard = self.read_kept(region, raw)
            assert heard is None or heard[:-1] == (*before.words, word)
            if heard is not None:
                self.said.append(self.new(first.response.id, before.tenant, heard, before, region=region, raw=raw))

    # --- what was said

    @precondition(lambda self: self.said)
    @rule(which=WHICH)
    def retrieve(self, which: int) -> None:
        said = self.nth(which)
        requests, kept = self.requests, said.is_kept(self.store, self.time)
        try:
            got = self.router.get_responses(said.id, tenant=said.tenant)
        except NotFoundError as error:
            if said.secret not in self.secrets or said.region not in ACCOUNTS:
                assert str(error) == UNKNOWN
                assert self.requests == requests
            assert said.secret not in self.secrets or not kept or (said.region in ACCOUNTS and not self.holds(said))
            return
        except TurnoutError:
            assert said.region == self.ill
            assert not (kept and said.finished)
            return
        assert said.secret in self.secrets
        assert said.region in ACCOUNTS or kept is not False
        text, _ = text_of(got.output)
        answer = read_answer(text)
        assert answer is not None
        assert (*answer[1], answer[0]) == said.words
        if not said.finished and got.status == "completed" and said.region in ACCOUNTS and kept is not False:
            said.finished = True
            said.perhaps = self.time + TTL
            said.surely = said.perhaps if kept else said.surely

    @precondition(lambda self: self.said)
    @rule(which=WHICH)
    def list_input(self, which: int) -> None:
        said = self.nth(which)
        whole = said.is_whole(self.store, self.time) if said.secret in self.secrets else False
        if said.region in ACCOUNTS:
            return
        try:
            listed = self.router.list_input_items(said.id, tenant=said.tenant, limit=100, order="asc")
        except NotFoundError as error:
            assert whole is not True
            assert str(error) in (UNKNOWN, HOLE)
            return
        assert whole is not False
        assert words_heard(listed) == said.words[:-1]

    @precondition(lambda self: self.said)
    @rule(which=WHICH)
    def delete(self, which: int) -> None:
        said = self.nth(which)
        known, held = said.secret in self.secrets, self.holds(said)
        kept = said.is_kept(self.store, self.time) if known else False
        try:
            self.router.delete_responses(said.id, tenant=said.tenant)
        except TurnoutError as error:
            if said.region not in ACCOUNTS:
                assert kept is not True
                assert str(error) == UNKNOWN
            else:
                assert not known or not held or self.ill == said.region
        else:
            assert known
            assert held if said.region in ACCOUNTS else kept is not False
            assert not self.holds(said)
        if known and said.store == self.store:
            said.kept = False

    @precondition(lambda self: self.said)
    @rule(which=WHICH)
    def delete_all(self, which: int) -> None:
        """A response and all before it, in the transcripts and where accounts have them."""
        said = self.nth(which)
        line = list(said.line())
        known = all(one.secret in self.secrets for one in line)
        kept = said.is_whole(self.store, self.time)
        held = all(one.region not in ACCOUNTS or one.region != self.ill for one in line)
        held = held and (said.region not in ACCOUNTS or self.holds(said))
        try:
            self.router.delete_responses(said.id, tenant=said.tenant, whole_chain=True)
        except TurnoutError as error:
            assert not (known and kept and held), error
        else:
            assert said.secret in self.secrets
            if known and kept:
                for one in line:
                    one.kept = False
                    assert not self.holds(one)
        for one in line:
            one.surely = -inf

    # --- conversations

    @rule(tenant=st.sampled_from(TENANTS), begun=st.booleans())
    def create_talk(self, tenant: str, begun: bool) -> None:
        items, words = self.pair(None)
        made = self.router.conversations.create(tenant=tenant, items=items if begun else None)
        talk = Talk(made.id, tenant, self.store, self.secrets[0], self.time + TTL)
        if begun:
            self.extend(talk, words)
        self.talks.append(talk)

    def pair(self, before: Said | None) -> tuple[list[dict[str, Any]], tuple[str, str]]:
        """What the user said, or a tool gave, and an answer to it, as items."""
        word, given = self.given(before)
        own = new_word("say", self.rng)
        asked = given if isinstance(given, list) else [{"role": "user", "content": given}]
        return [*asked, {"role": "assistant", "content": f"I say {own} to you."}], (word, own)

    def extend(self, talk: Talk, words: tuple[str, ...]) -> None:
        """Items were put into a conversation."""
        before = () if talk.last is None else talk.last.words
        talk.last = self.new("", talk.tenant, (*before, *words), talk.last, kept=True)
        talk.last.written(self.time, whole=False)
        talk.until = self.time + TTL

    def is_open(self, talk: Talk) -> bool:
        return talk.secret in self.secrets and talk.is_kept(self.store, self.time)

    @precondition(lambda self: self.talks)
    @rule(which=WHICH, turns=TURNS)
    def take_part(self, which: int, turns: Turns) -> None:
        talk = self.talks[-1 - which % len(self.talks)]
        for group, how in turns:
            self.respond_in(talk, group, how)

    def respond_in(self, talk: Talk, group: str, how: dict[str, Any]) -> None:
        whole = True if talk.last is None else talk.last.is_whole(self.store, self.time)
        well = self.ill not in GROUPS[group]
        word, given = self.given(talk.last, tool=how["tool"])
        more = {"conversation": talk.id, "tenant": talk.tenant, "stream": how["stream"]}
        more |= REASONS if how["reasons"] else {}
        requests = self.requests
        try:
            response, region = self.ask(group, given, more)
        except TurnoutError as error:
            assert not (self.is_open(talk) and whole and well), error
            if not self.is_open(talk):
                assert str(error) == NO_TALK
                assert self.requests == requests
            return
        assert self.is_open(talk)
        assert whole is not False
        said = self.note(response, region, talk.last, word, talk.tenant, kept=True, talk=True)
        if response.status == "completed":
            assert response.conversation["id"] == talk.id
            talk.last, talk.until = said, self.time + TTL

    @precondition(lambda self: self.talks)
    @rule(which=WHICH)
    def add_to_talk(self, which: int) -> None:
        talk = self.talks[-1 - which % len(self.talks)]
        items, words = self.pair(talk.last)
        try:
            self.router.conversations.add_items(talk.id, items, tenant=talk.tenant)
        except NotFoundError as error:
            assert not self.is_open(talk)
            assert str(error) == NO_TALK
        else:
            assert self.is_open(talk)
            self.extend(talk, words)

    @precondition(lambda self: self.talks)
    @rule(which=WHICH)
    def list_talk(self, which: int) -> None:
        talk = self.talks[-1 - which % len(self.talks)]
        whole = True if talk.last is None else talk.last.is_whole(self.store, self.time)
        try:
            listed = self.router.conversations.list_items(talk.id, tenant=talk.tenant, limit=100, order="asc")
        except NotFoundError:
            assert not (self.is_open(talk) and whole)
        else:
            assert self.is_open(talk)
            assert words_heard(listed) == (() if talk.last is None else talk.last.words)

    @precondition(lambda self: self.talks)
    @rule(which=WHICH, items=st.booleans())
    def delete_talk(self, which: int, items: bool) -> None:
        talk = self.talks[-1 - which % len(self.talks)]
        was_open = self.is_open(talk)
        try:
            self.router.conversations.delete(talk.id, tenant=talk.tenant, items=items)
        except NotFoundError:
            assert not was_open
            return
        assert was_open
        talk.deleted = True
        line = list(talk.last.line()) if items and talk.last is not None else []
        whole = bool(line) and line[0].is_whole(self.store, self.time)
        for one in line:
            one.kept = one.kept and not whole
            one.surely = -inf

    # --- strangers

    @precondition(lambda self: self.said or self.talks)
    @rule(which=WHICH, how=st.sampled_from(["another tenant", "cut", "changed", "renamed"]), at=st.integers(5, 70))
    def try_anothers(self, which: int, how: str, at: int) -> None:
        """Whatever is tried with an id that is not the caller's: the same words, no request, and nothing is changed."""
        found = [*self.said, *self.talks]
        target = found[which % len(found)]
        token, tenant = target.id, target.tenant
        if how == "another tenant":
            tenant = TENANTS[(TENANTS.index(tenant) + 1) % len(TENANTS)]
        elif how == "cut":
            token = token[:at]
        elif how == "changed":
            token = token[:at] + ("A" if token[at : at + 1] != "A" else "B") + token[at + 1 :]
        else:
            token = "item_" + token.partition("_")[2]
        router, requests, size = self.router, self.requests, self.stores[-1].size
        kept = router.conversations
        for attempt in (
            lambda: router.responses("mixed", "x", previous_response_id=token, tenant=tenant),
            lambda: router.get_responses(token, tenant=tenant),
            lambda: router.delete_responses(token, tenant=tenant, whole_chain=True),
            lambda: router.list_input_items(token, tenant=tenant),
            lambda: kept.get(token, tenant=tenant),
            lambda: kept.delete(token, tenant=tenant, items=True),
            lambda: kept.add_items(token, [{"role": "user", "content": "x"}], tenant=tenant),
        ):
            with pytest.raises(NotFoundError) as raised:
                attempt()
            assert str(raised.value) in (UNKNOWN, NO_TALK)
        assert self.requests == requests
        assert self.stores[-1].size == size


TestConversations = ConversationMachine.TestCase
TestConversations.settings = settings(max_examples=200, stateful_step_count=30)
