"""What the Router expects of an adapter, or of a provider's row.

    LINE = line_to(ACME, Exchange(answer=..., stream=..., text="Hello"))

    @pytest.mark.parametrize("rule", ADAPTER_RULES.values(), ids=ADAPTER_RULES)
    def test_acme(rule):
        rule(LINE)

Every rule takes a `Line`: the adapter, an address for it, and what a provider answers. Nothing is sent anywhere.
"""

from collections.abc import Mapping
from typing import Any

from turnout.testing import adapter_answers as answers
from turnout.testing import adapter_requests as requests
from turnout.testing.exchanges import Exchange, line_to
from turnout.testing.rules import Rule, check_all, table
from turnout_adapters.adapter import Adapter
from turnout_adapters.provider import Provider

ADAPTER_RULES: Mapping[str, Rule] = table(
    requests.asks_in_json,
    requests.names_the_model,
    requests.keeps_credentials_in_headers,
    requests.sends_what_the_caller_adds,
    requests.leaves_no_parameter_out_in_silence,
    requests.makes_or_refuses_other_operations,
    requests.refuses_what_is_no_json,
    requests.asks_the_same_again,
    answers.reads_a_complete_answer,
    answers.answer_and_stream_agree,
    answers.streams_keep_the_grammar,
    answers.pieces_make_no_difference,
    answers.streams_do_not_mix,
    answers.a_cut_stream_is_no_success,
    answers.what_is_no_answer_is_an_error,
    answers.what_is_new_does_no_harm,
    answers.refusals_are_typed,
    answers.refusals_keep_the_providers_words,
)


def check_adapter(subject: Adapter | Provider, exchange: Exchange, *, wire: str | None = None, **params: Any) -> None:
    """Checks an adapter, or a provider's row, against all rules. Raises AssertionError that names each rule it breaks.

    `exchange` is what the provider answers. A row's `wire` is its first, unless another is named; `params` are the
    litellm_params that it needs besides `api_key`.
    """
    check_all(ADAPTER_RULES, line_to(subject, exchange, wire=wire, **params))
