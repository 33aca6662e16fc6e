"""Every Python snippet of README and docs runs, and prints what it says it prints.

A snippet under the line `<!-- not run: reason -->` is only compiled.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from turnout.sim.fake_cloud import FakeCloud

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(<!-- not run: [^\n]+ -->\n)?```python\n(.*?)```(?:\s*<!-- prints -->\s*```text\n(.*?)```)?", re.DOTALL
)
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
WITH_CODE = [page for page in PAGES if "```python" in page.read_text()]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def run(code: str, names: dict[str, Any], where: str) -> str:
    """Runs one block, top-level `await` included; returns what it prints."""
    compiled = compile(code, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        result = eval(compiled, names)
        if inspect.iscoroutine(result):
            asyncio.run(result)
    return said.getvalue()


@pytest.mark.parametrize("page", WITH_CODE, ids=named)
def test_snippets_run_as_pasted(page: Path, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for region, name in (("eastus", "EASTUS"), ("westus", "WESTUS")):
        monkeypatch.setenv(f"AZURE_{name}_URL", cloud[region].url)
        monkeypatch.setenv(f"AZURE_{name}_KEY", "k")
    monkeypatch.delenv("TURNOUT_ID_SECRET", raising=False)  # who pastes a snippet has none
    monkeypatch.setenv("OPENAI_API_KEY", "sk")
    monkeypatch.setenv("OPENAI_BASE_URL", cloud["swedencentral"].url + "/v1")
    names: dict[str, Any] = {"__name__": "__main__"}
    for only_compiled, code, expected in BLOCK.findall(page.read_text()):
        if only_compiled:
            compile(code, named(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            continue
        said = run(code, names, named(page))
        if expected:
            assert said == expected


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_make_targets_and_extras_exist(page: Path) -> None:
    text = page.read_text()
    for link in LINK.findall(text):
        if "://" not in link:
            assert (page.parent / link).exists(), link
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for block in SHELL.findall(text):
        for target in re.findall(r"^make ([a-z]+)", block, re.MULTILINE):
            assert target in targets
        for named_extras in re.findall(r"^pip install .*\[([\w,]+)\]", block, re.MULTILINE):
            assert set(named_extras.split(",")) <= set(extras)


def test_there_is_something_to_check() -> None:
    assert sum(len(BLOCK.findall(page.read_text())) for page in WITH_CODE) >= 6
