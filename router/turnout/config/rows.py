"""Rows of model_list to deployment specifications."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

from turnout.config import check
from turnout.config.limits import row_quotas
from turnout.errors import ConfigError, UnsupportedParameterError
from turnout.limits.quota import Prices, Quota
from turnout_adapters import headers
from turnout_adapters.adapter import Adapter, Target
from turnout_adapters.provider import Provider
from turnout_adapters.registry import adapter_for, choose_wire, nearest, place_of, split_model
from turnout_adapters.types.request import CREATE_PARAMS

_OWN = frozenset(
    """
    model api_key api_base base_url api_version azure_ad_token azure_ad_token_provider organization project
    aws_access_key_id aws_secret_access_key aws_session_token aws_region_name aws_profile_name
    aws_bedrock_runtime_endpoint vertex_project vertex_location vertex_credentials watsonx_region_name token project_id
    space_id CLOUDFLARE_ACCOUNT_ID
    custom_llm_provider wire rpm tpm itpm otpm rpd tpd max_budget budget_duration
    weight order max_parallel_requests timeout request_timeout stream_timeout
    cooldown_time tags region_name input_cost_per_token output_cost_per_token extra_headers extra_body drop_params
    max_input_tokens
    """.split()
)
_HARMLESS = frozenset("use_in_pass_through litellm_trace_id max_retries num_retries model_info stream".split())
_NOT_YET = {
    "aws_role_name": "name a profile that has this role_arn, as aws_profile_name",
    "aws_session_name": "name a profile that has this role, as aws_profile_name",
    "aws_web_identity_token": "botocore finds it in the environment; leave it out",
    "mock_response": "Turnout has no mock answers; run `turnout demo`, or point api_base at a fake server",
    "tenant_id": "give azure_ad_token_provider instead",
    "client_id": "give azure_ad_token_provider instead",
    "client_secret": "give azure_ad_token_provider instead",
    "litellm_credential_name": "give api_key itself, or os.environ/NAME",
}
_DEFAULTS = CREATE_PARAMS - {"input", "stream", "previous_response_id", "conversation"}


@dataclass(frozen=True, slots=True, repr=False)
class DeploymentSpec:
    """One row, checked. Its repr shows no credential."""

    id: str
    model_group: str
    domain: str
    """The state domain."""
    provider: str
    model: str
    """The upstream name; a `*` in it takes what the wildcard matched."""
    target: Target
    adapter: Adapter
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Parameters sent unless the call gives them."""
    extra_headers: Mapping[str, str] = field(default_factory=dict[str, str])
    extra_body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    weight: float | None = None
    """Share of the calls, relative to the others; None if the row gives none."""
    order: int = 1
    """Levels are tried from the lowest number up."""
    rpm: int | None = None
    """Requests per minute: a limit, and the share of the calls where no weight is given."""
    tpm: int | None = None
    """Tokens per minute, likewise."""
    quotas: tuple[Quota, ...] = ()
    """All limits of requests, tokens and money, `rpm` and `tpm` among them."""
    max_parallel_requests: int | None = None
    timeout: float | None = None
    """Seconds per attempt."""
    stream_timeout: float | None = None
    """Seconds until a stream's first output, and between its pieces."""
    cooldown_time: float | None = None
    drop_params: bool | None = None
    """Leave out, with a warning, what the provider cannot honour. None: as the Router says."""
    tags: tuple[str, ...] = ()
    region: str | None = None
    max_input_tokens: int | None = None
    input_cost_per_token: float | None = None
    output_cost_per_token: float | None = None
    model_info: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rewire: Callable[[str], tuple[Adapter, Target]] | None = field(default=None, compare=False)
    """Adapter and target of another wire of the provider, for a call that asks for it. Raises ConfigError."""

    @property
    def prices(self) -> Prices | None:
        """What tokens cost; None if that is not known."""
        if self.input_cost_per_token is None or self.output_cost_per_token is None:
            return None
        return Prices.per_token(self.input_cost_per_token, self.output_cost_per_token)

    def on(self, wire: str | None) -> tuple[Adapter, Target]:
        """Adapter and target: the deployment's own, or those of the wire asked for.

        Raises UnsupportedParameterError if the provider does not speak it.
        """
        if wire is None or wire == self.adapter.wire or self.rewire is None:
            return self.adapter, self.target
        try:
            return self.rewire(wire)
        except ConfigError as error:
            raise UnsupportedParameterError(error.message, provider=self.provider, param="wire") from None

    def __repr__(self) -> str:
        return f"DeploymentSpec({self.id!r}, {self.model_group!r}, {self.provider}/{self.model})"


def parse_model_list(
    rows: object,
    env: Mapping[str, str],
    defaults: Mapping[str, Any] | None = None,
    providers: Mapping[str, Provider] | None = None,
) -> list[DeploymentSpec]:
    """The specifications of all rows. Raises ConfigError naming row, field and fix.

    `defaults` (LiteLLM's default_litellm_params) stand in for what a row's litellm_params leave out; `providers` are
    rows of one's own, by name.
    """
    listed = check.sequence(rows, "model_list", "rows")
    if not listed:
        raise check.fail("model_list", "is empty; give at least one row with model_name and litellm_params")
    specs = [
        _parse(row, f"model_list[{index}]", env, defaults or {}, providers or {}) for index, row in enumerate(listed)
    ]
    return _with_unique_ids(specs)


def _parse(
    row: object, where: str, env: Mapping[str, str], defaults: Mapping[str, Any], providers: Mapping[str, Provider]
) -> DeploymentSpec:
    fields = check.mapping(row, where)
    for name in fields:
        if name not in ("model_name", "litellm_params", "params", "model_info"):
            raise check.fail(
                f"{where}.{name}", f"unknown key; {nearest(name, ('model_name', 'litellm_params', 'model_info'))}"
            )
    if "litellm_params" in fields and "params" in fields:
        raise check.fail(f"{where}.params", "is another name of litellm_params; give one of them")
    group = check.text(fields.get("model_name"), f"{where}.model_name")
    key = "params" if "params" in fields else "litellm_params"
    at = f"{where}.{key}"
    if fields.get(key) is None:
        raise check.fail(f"{where}.litellm_params", "is missing; give at least its model")
    given = {**defaults, **check.mapping(fields[key], at)}
    params = {name: check.resolved(value, f"{at}.{name}", env) for name, value in given.items() if value is not None}
    info = check.resolved(
        dict(check.mapping(fields.get("model_info") or {}, f"{where}.model_info")), f"{where}.model_info", env
    )
    _check_names(params, at)
    return _spec(group, params, info, where, at, env, providers)


def _check_names(params: Mapping[str, Any], at: str) -> None:
    for name in params:
        if name in _NOT_YET:
            raise check.fail(f"{at}.{name}", _NOT_YET[name])
        if name not in _OWN and name not in _HARMLESS and name not in _DEFAULTS:
            hint = nearest(name, _OWN | _DEFAULTS)
            raise check.fail(f"{at}.{name}", f"unknown parameter; {hint} (extra_body sends any field as it is)")


def _spec(
    group: str,
    params: Mapping[str, Any],
    info: Mapping[str, Any],
    where: str,
    at: str,
    env: Mapping[str, str],
    providers: Mapping[str, Provider],
) -> DeploymentSpec:
    model = check.text(params.get("model"), f"{at}.model")
    account = info.get("account")
    try:
        provider, upstream = split_model(model, params.get("custom_llm_provider"), providers)
        wire, upstream = choose_wire(provider, upstream, params)
        owner = None if account is None else check.text(account, f"{where}.model_info.account")
        place = place_of(provider, params, owner, env, upstream, wire)
        adapter = adapter_for(provider, wire)
    except ConfigError as error:
        if error.param is not None and error.param.startswith(where):
            raise
        raise ConfigError(f"{at}.{error.message}", param=f"{at}.{error.param}") from None
    quotas = row_quotas(params, info, at)
    own_id = info.get("id")
    if own_id is not None:
        check.text(own_id, f"{where}.model_info.id")
    return DeploymentSpec(
        id=own_id or _hash(provider.name, place.domain, upstream),
        model_group=group,
        domain=place.domain,
        provider=provider.name,
        model=upstream,
        target=place.target,
        adapter=adapter,
        defaults={name: params[name] for name in params if name in _DEFAULTS},
        extra_headers=_headers(params, at),
        extra_body=check.mapping(params.get("extra_body", {}), f"{at}.extra_body"),
        drop_params=None if "drop_params" not in params else check.flag(params["drop_params"], f"{at}.drop_params"),
        tags=check.texts(params.get("tags", ()), f"{at}.tags"),
        region=_optional_text(params.get("region_name", info.get("region")), f"{at}.region_name"),
        order=1 if "order" not in params else check.whole(params["order"], f"{at}.order"),
        model_info=info,
        rewire=lru_cache(maxsize=8)(partial(_rewired, provider, params, owner, env, upstream)),
        rpm=next((quota.limit for quota in quotas if quota.name == "rpm"), None),
        tpm=next((quota.limit for quota in quotas if quota.name == "tpm"), None),
        quotas=quotas,
        **_numbers(params, info, at),
    )


def _rewired(
    provider: Provider,
    params: Mapping[str, Any],
    account: str | None,
    env: Mapping[str, str],
    upstream: str,
    wire: str,
) -> tuple[Adapter, Target]:
    chosen, _ = choose_wire(provider, upstream, {**params, "wire": wire})
    return adapter_for(provider, chosen), place_of(provider, params, account, env, upstream, chosen).target


def _numbers(params: Mapping[str, Any], info: Mapping[str, Any], at: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "max_parallel_requests" in params:
        found["max_parallel_requests"] = check.whole(params["max_parallel_requests"], f"{at}.max_parallel_requests", 1)
    for name in ("timeout", "stream_timeout", "cooldown_time"):
        value = params.get(name, params.get("request_timeout") if name == "timeout" else None)
        if value is not None:
            found[name] = check.number(value, f"{at}.{name}", positive=name != "cooldown_time")
    if "weight" in params:
        found["weight"] = check.number(params["weight"], f"{at}.weight")
    for name in ("input_cost_per_token", "output_cost_per_token"):
        value = params.get(name, info.get(name))
        if value is not None:
            found[name] = check.number(value, f"{at}.{name}")
    limit = params.get("max_input_tokens", info.get("max_input_tokens"))
    if limit is not None:
        found["max_input_tokens"] = check.whole(limit, f"{at}.max_input_tokens", 1)
    return found


def _headers(params: Mapping[str, Any], at: str) -> dict[str, str]:
    return headers.checked(params.get("extra_headers"), f"{at}.extra_headers")


def _optional_text(value: object, where: str) -> str | None:
    return None if value is None else check.text(value, where)


def _hash(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def _with_unique_ids(specs: Sequence[DeploymentSpec]) -> list[DeploymentSpec]:
    """The same upstream in two model groups is two deployments; twice in one group it is a mistake."""
    shared = {found for found, times in Counter(spec.id for spec in specs).items() if times > 1}
    apart = [
        replace(spec, id=_hash(spec.id, spec.model_group))
        if spec.id in shared and "id" not in spec.model_info
        else spec
        for spec in specs
    ]
    first: dict[str, int] = {}
    for index, spec in enumerate(apart):
        if spec.id in first:
            fix = "give each row its own model_info.id"
            if "id" not in spec.model_info:
                fix = f"remove one (weight gives a deployment a larger share), or {fix}"
            raise check.fail(
                f"model_list[{index}]",
                f"is the same deployment as model_list[{first[spec.id]}] (id {spec.id!r}); {fix}",
            )
        first[spec.id] = index
    return apart
