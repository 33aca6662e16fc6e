"""Lines of waiting calls: who is woken, in which order, and whom a call waits behind."""

from random import Random
from typing import Any

from turnout.config import parse_model_list
from turnout.context import Call
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Destination, Lease, Tries
from turnout.engine.queues import Queues
from turnout.policies import BudgetPolicy, CooldownPolicy, WaitPolicy
from turnout.strategies import SimpleShuffle


class Bell:
    """A waiter that writes down when it was woken."""

    def __init__(self, name: int, rung: list[int]) -> None:
        self.name, self.rung = name, rung
        self.gone = False

    def wake(self) -> None:
        self.rung.append(self.name)


def row(name: str, **params: Any) -> dict[str, Any]:
    given = {"model": "azure/gpt", "api_key": "k", "api_base": f"https://{name}.openai.azure.com", **params}
    return {"model_name": "gpt", "litellm_params": given, "model_info": {"id": name}}


def test_those_who_watch_are_woken_in_the_order_in_which_they_came() -> None:
    rung: list[int] = []
    queues, bells = Queues(10), [Bell(number, rung) for number in range(50)]
    for bell in bells:
        queues.watch("gpt", bell)
    queues.unwatch("gpt", bells[7])
    queues.wake("gpt")
    assert rung == [number for number in range(50) if number != 7]


def test_a_call_to_one_deployment_holds_up_nobody_who_can_use_others() -> None:
    fleet = Fleet(SimpleShuffle(), (), CooldownPolicy(), BudgetPolicy(), WaitPolicy())
    for spec in parse_model_list([row("a", max_parallel_requests=1), row("b")], {}):
        fleet.add(spec, 0.0)
    group = fleet.groups["gpt"]
    to_all, to_a = Destination(group), Destination(group, only=[fleet.deployments["a"]])
    call, rng = Call("create", "gpt", {"input": "x"}, 0.0, 60.0), Random(1)
    assert isinstance(fleet.choose(to_a, call, Tries(), 0.0, rng), Lease)
    ticket = fleet.join(to_a, call, Bell(0, []))
    assert not isinstance(fleet.choose(to_a, call, Tries(), 0.0, rng), Lease)
    served = fleet.choose(to_all, call, Tries(), 0.0, rng)
    assert isinstance(served, Lease)
    assert served.deployment.id == "b"
    fleet.leave(ticket)


def test_who_is_gone_holds_up_nobody() -> None:
    """A waiter's event loop can be closed under it, and then nobody leaves the line in its name."""
    rung: list[int] = []
    queues, bells = Queues(10), [Bell(number, rung) for number in range(4)]
    key = ("gpt", None, None, (), ())
    tickets = [queues.join(key, bell) for bell in bells]
    bells[0].gone = bells[2].gone = True
    assert queues.head(key) is tickets[1]
    queues.wake("gpt")
    assert rung == [1]
    queues.leave(tickets[1])
    assert rung == [1, 3]
    queues.leave(tickets[0])
    bells[3].gone = True
    assert queues.head(key) is None
    assert not queues.waiting
