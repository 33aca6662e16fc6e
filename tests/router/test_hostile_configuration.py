"""A configuration that is a bomb, a knot or rubbish is a ConfigError that names the file, in no time."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout import ConfigError, Router, TurnoutError

LAUGHS = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
MERGES = "".join(f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}], k{n}: 1}}\n" for n in range(1, 12))
BOMBS = {
    "aliases": f"a0: &a0 lol\n{LAUGHS}model_list: *a11\n",
    "merges": f"m0: &m0 {{k: 1}}\n{MERGES}model_list: [*m11]\n",
    "depth": "model_list: " + "[" * 50_000,
    "closed depth": "model_list: " + "[" * 5_000 + "]" * 5_000,
    "a knot": "model_list: &a [*a]\n",
    "a knot of maps": "model_list:\n- &a {model_name: g, litellm_params: *a}\n",
    "python": "model_list: !!python/object/apply:os.system ['echo no']\n",
    "a list": "- model_list\n",
    "a word": "model_list\n",
    "nothing": "",
    "two documents": "model_list: []\n---\nmodel_list: []\n",
    "a huge number": f"model_list: [{'1' * 5_000}]\n",
    "no date": "model_list: [2024-99-99]\n",
    "a list as a key": "? [a, b]\n: 1\n",
    "an alias of nothing": "model_list: *nothing\n",
    "a tab": "model_list:\n\t- x\n",
    "a NUL": "model_list: \0\n",
    "no mapping": "model_list: {}\n",
    "words as rows": "model_list: [x, y]\n",
    "words as settings": "model_list: []\nrouter_settings: x\n",
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bad_file_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(BOMBS[kind], encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        Router.from_yaml(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1_000


def test_bytes_that_are_no_text_and_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"model_list: \xff\xfe\x00")
    for place in (path, tmp_path, tmp_path / "nothing"):
        with pytest.raises(ConfigError, match=str(place)):
            Router.from_yaml(place)


def test_anchors_as_people_use_them(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "defaults: &d {api_key: any, api_base: 'http://127.0.0.1:1', rpm: 10}\n"
        "tags: &t [a, b]\n"
        "model_list:\n"
        "- {model_name: one, litellm_params: {<<: *d, model: openai/x, tags: *t}}\n"
        "- {model_name: two, litellm_params: {<<: *d, model: openai/y, rpm: 20}}\n",
        encoding="utf-8",
    )
    with Router.from_yaml(path) as router:
        assert [one.model_group for one in router.status()] == ["one", "two"]


KNOT: dict[str, Any] = {}
KNOT["x"] = [KNOT]
SCALARS = [None, True, 0, -1, 10**400, math.nan, math.inf, "", "\ud800", "a\0\n", b"x", object(), KNOT, [[]], {1: 2}]
NAMES = "model api_key api_base rpm tpm weight timeout tags extra_headers extra_body order max_budget".split()
SETTINGS = """
    num_retries timeout fallbacks routing_strategy allowed_fails cooldown_time retry_policy max_wait model_group_alias
    id_secret transcripts redis_url hedge provider_budget_config log callbacks optional_pre_call_checks
    allowed_model_region default_litellm_params providers max_response_bytes
""".split()
ROW: dict[str, Any] = {"model": "openai/x", "api_key": "any", "api_base": "http://127.0.0.1:1"}


@pytest.mark.parametrize("name", NAMES)
def test_any_odd_value_in_a_row(name: str) -> None:
    for value in SCALARS:
        for row in (
            {"model_name": "g", "litellm_params": {**ROW, name: value}},
            {"model_name": value, "litellm_params": ROW},
            {"model_name": "g", "litellm_params": ROW, "model_info": {"id": value, name: value}},
        ):
            odd_or_fine(lambda row=row: Router([row]))


@pytest.mark.parametrize("name", SETTINGS)
def test_any_odd_value_of_a_setting(name: str) -> None:
    for value in SCALARS:
        given = {name: value}
        odd_or_fine(lambda given=given: Router([{"model_name": "g", "litellm_params": ROW}], **given))


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100)
@given(st.sampled_from(SETTINGS), ANY, st.sampled_from(NAMES), ANY)
def test_anything_anywhere(setting: str, value: Any, name: str, other: Any) -> None:
    row = {"model_name": "g", "litellm_params": {**ROW, name: other}}
    odd_or_fine(lambda: Router([row], **{setting: value}))
    odd_or_fine(lambda: Router(other, **{setting: value}))


def odd_or_fine(make: Any) -> None:
    """A Router, or an error of ours."""
    try:
        router: Router = make()
    except TurnoutError as error:
        assert str(error)
    else:
        router.close()
