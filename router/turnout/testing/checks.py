"""What the Router expects of a pre-call check.

    @pytest.mark.parametrize("rule", CHECK_RULES.values(), ids=CHECK_RULES)
    def test_my_check(rule):
        rule(MyCheck, MY_ROWS, MY_CALLS)

Every rule takes a function that makes the check, rows of `model_list` and calls. The plain ones have regions, tags,
limits and long inputs; give your own where the check looks at something else, so that it rejects some and not others.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from random import Random
from threading import Lock
from typing import Any

from turnout.context import Call
from turnout.deployment import Deployment, ModelGroup
from turnout.engine import budget
from turnout.policies import BudgetPolicy
from turnout.protocols import Applies, PreCallCheck
from turnout.testing.rules import API_KEY, Rule, check_all, in_threads, need, table
from turnout.testing.traffic import Row, a_call, deployments_of
from turnout.testing.watching import Unchanged, no_waiting

MakeCheck = Callable[[], PreCallCheck]

_WHO = "the check"
_SHORT = 8
"""Characters; a shorter header is no credential."""


def _row(name: str, info: Mapping[str, Any] | None = None, **params: Any) -> Row:
    given = {"model": "openai/gpt-4o", "api_key": API_KEY, "api_base": f"https://{name}.example/v1", **params}
    return {"model_name": "a", "litellm_params": given, "model_info": {"id": name, **(info or {})}}


ROWS: Sequence[Row] = (
    _row("plain"),
    _row("tagged", tags=["fast", "eu"]),
    _row("default", tags=["default"]),
    _row("european", {"region": "swedencentral"}),
    _row("american", region_name="eastus", weight=0.0),
    _row("small", {"max_input_tokens": 100}),
    _row("large", max_input_tokens=1_000_000, order=2),
)
CALLS: Sequence[Call] = (
    a_call(),
    a_call(stream=True, tags=("fast",)),
    a_call(regions=(("eu",),)),
    a_call(regions=(("us",), ("eastus",)), tags=("slow", "fast")),
    replace(a_call(), body={"input": "many words " * 500, "metadata": {"team": "a"}}),
    replace(a_call(), body={"input": [{"role": "user", "content": [{"type": "input_text", "text": "x" * 5000}]}]}),
    replace(a_call(), body={"input": None, "max_output_tokens": None}),
    replace(a_call(), body={}, operation="retrieve", response_id="resp_1", pin="a domain", stateless=True),
)


def gives_a_reason_or_none(make_check: MakeCheck, rows: Sequence[Row] = ROWS, calls: Sequence[Call] = CALLS) -> None:
    """None if the deployment may serve the call; if not, a sentence of one line for the error that a user reads."""
    calls = _copies(calls)
    check = make_check()
    for deployment in deployments_of(rows):
        for call in calls:
            reason: Any = check.reject(deployment, call)
            right = reason is None or (isinstance(reason, str) and reason.strip() and "\n" not in reason)
            need(right, f"on {deployment.id!r} and {call!r} it said {reason!r}: give None, or a reason in one line")


def says_the_same_again(make_check: MakeCheck, rows: Sequence[Row] = ROWS, calls: Sequence[Call] = CALLS) -> None:
    """The answer depends on the deployment and the call, not on what was asked before or in which order."""
    calls = _copies(calls)
    check, deployments = make_check(), deployments_of(rows)
    asked = [(one, call) for one in deployments for call in calls]
    first = [check.reject(*pair) for pair in asked]
    for order in (asked, list(reversed(asked)), Random(1).sample(asked, len(asked))):
        for pair in order:
            was, now = first[asked.index(pair)], check.reject(*pair)
            need(was == now, f"on {pair[0].id!r} and {pair[1]!r} it said first {was!r}, later {now!r}")
    anew = make_check()
    need(first == [anew.reject(*pair) for pair in asked], "a fresh check gives other answers than one in use")


def changes_nothing(make_check: MakeCheck, rows: Sequence[Row] = ROWS, calls: Sequence[Call] = CALLS) -> None:
    """Deployments, calls and groups are the Router's; a check looks at them only."""
    calls = _copies(calls)
    check, deployments = make_check(), deployments_of(rows)
    group = _group_of(deployments)
    before, bodies = Unchanged(deployments), [repr(call.body) for call in calls]
    for call in calls:
        if isinstance(check, Applies):
            check.applies(call, group)
            need(group.members == deployments, "it changed the members of the model group")
        for deployment in deployments:
            check.reject(deployment, call)
    before.confirm(_WHO)
    need(bodies == [repr(call.body) for call in calls], "it changed the body of a call")


def rejects_nothing_where_it_does_not_apply(
    make_check: MakeCheck, rows: Sequence[Row] = ROWS, calls: Sequence[Call] = CALLS
) -> None:
    """`applies` False is a promise: no deployment of the group would be rejected for the call."""
    calls = _copies(calls)
    check, deployments = make_check(), deployments_of(rows)
    if not isinstance(check, Applies):
        return
    for members in (deployments, *([one] for one in deployments)):
        group = _group_of(members)
        for call in calls:
            if check.applies(call, group):
                continue
            for deployment in members:
                reason = check.reject(deployment, call)
                need(reason is None, f"it does not apply to {call!r}, and rejects {deployment.id!r}: {reason!r}")


def tells_no_secret(make_check: MakeCheck, rows: Sequence[Row] = ROWS, calls: Sequence[Call] = CALLS) -> None:
    """Reasons are shown in errors, logs and `router.explain`: no credential of a deployment is in them."""
    calls = _copies(calls)
    check = make_check()
    for deployment in deployments_of(rows):
        values = [value for name, value in deployment.spec.target.headers if name != "accept"]
        secrets = [part for value in values for part in value.split() if len(part) >= _SHORT]
        for call in calls:
            reason = check.reject(deployment, call) or ""
            need(not any(one in reason for one in secrets), f"its reason on {deployment.id!r} holds a credential")


def does_not_wait(make_check: MakeCheck, rows: Sequence[Row] = ROWS, calls: Sequence[Call] = CALLS) -> None:
    """It is called under the Router's lock, for every deployment of every call: no I/O, no sleep."""
    calls = _copies(calls)
    check, deployments = make_check(), deployments_of(rows)
    for call in calls:
        for deployment in deployments:
            check.reject(deployment, call)  # what it loads at first use is no matter
            with no_waiting(_WHO, clocks=False):
                check.reject(deployment, call)
                if isinstance(check, Applies):
                    check.applies(call, _group_of(deployments))


def works_from_any_thread(make_check: MakeCheck, rows: Sequence[Row] = ROWS, calls: Sequence[Call] = CALLS) -> None:
    """Calls come from any thread, one at a time, with no event loop in sight."""
    calls = _copies(calls)
    check, deployments, lock = make_check(), deployments_of(rows), Lock()
    expected = [check.reject(one, call) for one in deployments for call in calls]

    def work(_number: int) -> None:
        with lock:
            found = [check.reject(one, call) for one in deployments for call in calls]
        need(found == expected, "from another thread it gives other answers")

    in_threads(work)


CHECK_RULES: Mapping[str, Rule] = table(
    gives_a_reason_or_none,
    says_the_same_again,
    changes_nothing,
    rejects_nothing_where_it_does_not_apply,
    tells_no_secret,
    does_not_wait,
    works_from_any_thread,
)


def check_pre_call_check(make_check: MakeCheck, rows: Sequence[Row] = ROWS, calls: Sequence[Call] = CALLS) -> None:
    """Checks a pre-call check against all rules. Raises AssertionError that names each rule it breaks."""
    check_all(CHECK_RULES, make_check, rows, calls)


def _copies(calls: Sequence[Call]) -> Sequence[Call]:
    """Calls of the rule's own: what a check does to them is not seen by the next rule."""
    return [replace(call, body=deepcopy(call.body)) for call in calls]


def _group_of(deployments: Sequence[Deployment]) -> ModelGroup:
    return ModelGroup("a", budget.new_budget(BudgetPolicy(), 0.0), list(deployments))
