"""The shape of the code: small files, small functions, judgement without I/O, a public surface that is what it says."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import turnout

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = sorted([*(ROOT / "router").rglob("*.py"), *(ROOT / "adapters").rglob("*.py")])
PURE = (
    "adapters/turnout_adapters",
    "router/turnout/limits",
    "router/turnout/engine",
    "router/turnout/strategies",
    "router/turnout/checks",
)
WORLD = {"random", "asyncio", "anyio", "time", "socket", "httpx2", "redis", "structlog", "threading", "secrets"}
PROJECT = ("router", "adapters", "tests", "benchmarks", "docs", "requirements", ".ci")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|farm|root|home)/\w")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", LIBRARY, ids=named)
def test_files_and_functions_are_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") < 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long"


@pytest.mark.parametrize("path", [one for one in LIBRARY if named(one).startswith(PURE)], ids=named)
def test_judgement_does_no_io(path: Path) -> None:
    allowed = {"threading"} if path.name == "forks.py" else set()  # for its locks
    for node in ast.walk(ast.parse(path.read_text())):
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            if node.module == "random":
                assert [one.name for one in node.names] == ["Random"], "chance is an argument"
                names = []
        assert not {name.partition(".")[0] for name in names} & (WORLD - allowed)


def test_the_public_surface_is_what_all_says() -> None:
    assert turnout.__all__ == sorted(set(turnout.__all__))
    assert len(turnout.__all__) <= 60
    shown_to_type_checkers = {
        alias.asname or alias.name
        for block in ast.parse(Path(turnout.__file__).read_text()).body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    loaded_on_demand = {name for names in turnout._HOMES.values() for name in names.split()}
    assert shown_to_type_checkers == loaded_on_demand == set(turnout.__all__) - {"__version__"}
    for name in turnout.__all__:
        assert getattr(turnout, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = turnout.nothing


def test_the_error_tree_is_the_one_that_is_drawn() -> None:
    errors = importlib.import_module("turnout_adapters.errors")
    drawn = re.findall(r"^( +)(\w+(?:Error|Call|Available|Unavailable))\b", errors.__doc__ or "", re.MULTILINE)
    path: list[str] = []
    for indent, name in drawn:
        depth = len(indent) // 2 - 2
        path = [*path[:depth], name]
        if depth > 0:
            assert issubclass(getattr(errors, name), getattr(errors, path[depth - 1])), name
    defined = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert {name for _, name in drawn} == defined


def test_importing_does_no_work() -> None:
    heavy = "('httpx2', 'pydantic', 'asyncio', 'yaml')"
    script = f"import sys, turnout; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    inside = [path for folder in PROJECT for path in (ROOT / folder).rglob("*")]
    files = [
        path for path in [*ROOT.iterdir(), *inside] if path.is_file() and path.suffix != ".pyc" and path.name != ".git"
    ]
    assert {"README.md", "Makefile", "pyproject.toml"} <= {path.name for path in files}
    for path in files:
        assert not MACHINE_PATH.search(path.read_text(errors="replace")), named(path)
