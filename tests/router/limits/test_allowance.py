"""One replica's part: what it may use without asking, and what it does when nobody answers."""

from dataclasses import replace
from typing import Any

import pytest

from turnout.limits.allowance import LeasePolicy, SharedKey, StoreState
from turnout.limits.ledger import Answer, Ledger
from turnout.limits.meter import Limits, Meter
from turnout.limits.quota import Prices, Quota, Usage

TPM = Quota("tpm", 1000, 60.0, "tokens")
BLOCK = 20
START = 1_800_000_000_000


class Replica:
    """A process with one limit, at the hours of a clock that the test moves."""

    def __init__(self, ledger: Ledger, *quotas: Quota, name: str = "a", **policy: Any) -> None:
        self.ledger, self.name, self.now, self.asked = ledger, name, 1000.0, 0
        self.policy = replace(LeasePolicy(), **policy)
        self.key = SharedKey("k", StoreState(self.policy, self.wake))
        self.meters = [Meter(quota) for quota in quotas or (TPM,)]
        self.key.configure(self.meters)
        self.limits = Limits(self.meters, Prices(1000, 1000))

    def wake(self) -> None:
        self.asked += 1

    def call(self, tokens: int) -> bool:
        """True if there was room."""
        usage = Usage(tokens, 0)
        if self.limits.room_at(usage, self.now) > self.now:
            self.limits.ask(usage, self.now)
            return False
        self.limits.reserve(usage, self.now)
        return True

    def spend(self, tokens: int) -> int:
        """Calls of ten tokens with an exchange after each; how much was let through."""
        return sum(10 * self.call(10) for _ in range(tokens // 10) if self.talk())

    def talk(self) -> Answer:
        begun = self.key.prepare(self.name, self.now)
        answer = self.ledger.exchange(begun.request, START + int(self.now * 1000))
        self.key.apply(begun, answer, self.now)
        return answer


def test_the_first_block_needs_no_answer_and_the_next_one_does() -> None:
    one = Replica(Ledger())
    assert one.call(15)
    assert one.asked == 1
    assert one.call(5)
    assert not one.call(1)
    assert one.limits.room_at(Usage(1, 0), one.now) == one.now + one.policy.patience
    assert one.asked == 1
    one.talk()
    assert one.call(20)
    assert one.ledger.windows["tokens:60000"].used == 20


def test_a_call_larger_than_a_block_waits_for_a_lease_of_its_size() -> None:
    one = Replica(Ledger())
    assert not one.call(700)
    assert one.talk().granted == [700]
    assert one.call(700)
    assert not one.call(400)
    assert one.talk().granted == [0], "what a waiting call cannot use is for others"


def test_blocks_without_an_answer_come_once_in_a_period() -> None:
    ledger = Ledger()
    other, one = Replica(ledger, name="other"), Replica(ledger)
    assert other.spend(2000) >= 1000
    spent = 0
    for _ in range(9):
        spent += sum(10 * one.call(10) for _ in range(10))
        one.talk()
        one.now += one.policy.life
        other.now = one.now
        other.spend(100)
    assert spent == BLOCK


def test_what_is_offered_back_cannot_be_spent_meanwhile() -> None:
    one = Replica(Ledger())
    one.talk()
    assert one.call(5)
    assert not one.call(100)
    begun = one.key.prepare("a", one.now)
    assert [wish.held for wish in begun.request.wishes] == [0]
    assert not one.call(10)
    one.key.fail(begun)
    assert one.call(10), "no answer: it is still ours"


def test_what_is_spent_during_an_exchange_comes_out_of_the_new_lease() -> None:
    one = Replica(Ledger())
    assert one.call(1)
    one.talk()
    begun = one.key.prepare("a", one.now)
    assert one.call(15)
    one.key.apply(begun, one.ledger.exchange(begun.request, START), one.now)
    assert one.call(5)
    assert not one.call(1)


def test_a_first_block_taken_during_an_exchange_is_one_block() -> None:
    one = Replica(Ledger(), pacing="share")
    begun = one.key.prepare("a", one.now)
    one.key.fail(begun)
    assert one.call(300), "alone"
    begun = one.key.prepare("a", one.now)
    assert one.call(5)
    one.key.apply(begun, one.ledger.exchange(begun.request, START), one.now)
    assert one.key.parts[0].balance <= 2 * BLOCK
    assert one.call(5)


def test_a_lease_is_not_used_to_its_last_second() -> None:
    one = Replica(Ledger())
    assert one.call(1)
    one.talk()
    one.now += one.policy.life - one.policy.margin - 0.01
    assert one.call(1)
    one.now += 0.02
    assert not one.call(1)


def test_refunds_go_through_the_store_and_debts_count_at_once() -> None:
    one = Replica(Ledger())
    one.talk()
    held = one.limits.reserve(Usage(10, 0), one.now)
    held.settle(Usage(2, 0))
    assert not one.call(11)
    one.talk()
    assert one.call(20)
    one.talk()
    one.limits.reserve(Usage(1, 0), one.now).settle(Usage(9, 0))
    assert not one.call(12)
    one.talk()
    assert one.ledger.windows["tokens:60000"].used == 2 + 20 + 9


def test_a_full_window_is_asked_again_when_its_next_bucket_begins() -> None:
    ledger = Ledger()
    other, one = Replica(ledger, name="other"), Replica(ledger)
    assert other.spend(2000) >= 1000
    one.now = other.now = 1000.25
    one.call(10)
    assert not one.call(15)
    one.talk()
    assert one.limits.room_at(Usage(15, 0), one.now) == pytest.approx(1001.0, abs=0.01)
    before = one.asked
    assert not one.call(15)
    assert one.asked == before, "asking at once again would bring nothing"


def test_small_calls_do_not_starve_a_large_one() -> None:
    ledger = Ledger()
    other, one = Replica(ledger, name="other"), Replica(ledger)
    for _ in range(62):
        other.spend(20)
        other.now += 1.0
    one.now = other.now
    one.call(1)
    waited = 0
    while waited < 30 and not one.call(200):
        waited += 1
        one.talk()
        for _ in range(5):
            other.spend(20)
            one.now = other.now = other.now + 0.2
    assert 5 < waited < 25


@pytest.mark.parametrize(("pacing", "room"), [("share", 500), ("closed", 0)])
def test_without_an_answer_requests_and_tokens_go_on_with_a_share(pacing: str, room: int) -> None:
    ledger = Ledger()
    other, one = Replica(ledger, name="other"), Replica(ledger, pacing=pacing)
    for replica in (other, one):
        replica.call(1)
        replica.talk()
    assert one.talk().replicas == 2
    one.call(20)
    spent = 21
    assert not one.call(20), "an answer may come yet"
    one.now += one.policy.patience
    while spent < 1000 and one.call(1):
        spent += 1
    assert spent == max(room, 21)


@pytest.mark.parametrize(("money", "goes_on"), [("closed", False), ("share", True)])
def test_without_an_answer_money_is_held(money: str, goes_on: bool) -> None:
    one = Replica(Ledger(), Quota("max_budget", 1000, 86_400.0, "money"), money=money)
    assert one.call(20)
    begun = one.key.prepare("a", one.now)
    one.key.fail(begun)
    assert one.call(1) is goes_on


def test_a_store_that_lost_its_memory_is_told_everything_before_it_lends_again() -> None:
    ledger = Ledger()
    one, other = Replica(ledger), Replica(ledger, name="other")
    other.talk()
    assert one.spend(900) == 900
    ledger.__init__()
    fresh = Replica(ledger, name="fresh")
    fresh.talk()
    one.talk()
    assert one.key.is_due(one.now), "it has noticed"
    one.talk()
    assert ledger.windows["tokens:60000"].used == 900
    assert not one.call(300), "the share of three replicas is used up"
    other.call(10)
    assert other.talk().grace > 0
    assert other.call(200), "here it is not"
    for replica in (one, other, fresh):
        replica.now += one.policy.grace
        replica.talk()
    assert ledger.windows["tokens:60000"].used == 900 + 210
    assert sum(sum(replica.talk().granted) for replica in (one, other, fresh)) == 0


def test_an_idle_replica_gives_back_and_watches_the_store_while_its_use_counts() -> None:
    ledger = Ledger()
    one = Replica(ledger, replace(TPM, period=3600.0))
    one.call(10)
    one.talk()
    one.now += 1.0
    assert not one.key.is_due(one.now)
    one.now += one.policy.renew
    assert one.key.is_due(one.now)
    one.talk()
    one.now += one.policy.idle
    assert one.key.is_due(one.now)
    assert one.talk().granted == [0]
    one.now += one.policy.renew
    assert not one.key.is_due(one.now)
    one.now += one.policy.check
    assert one.key.is_due(one.now)
    one.talk()
    one.now += 2 * 3600.0
    one.talk()
    one.now += one.policy.check
    assert not one.key.is_due(one.now)


def test_many_replicas_borrow_smaller_blocks() -> None:
    ledger = Ledger()
    replicas = [Replica(ledger, Quota("tpm", 10_000, 60.0, "tokens"), name=f"r{number}") for number in range(40)]
    assert all(one.call(1) for one in replicas)
    for _ in range(3):
        lent = [sum(one.talk().granted) for one in replicas]
    assert set(lent) == {50}
