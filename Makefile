PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Everything is held by its hash and nothing is built from source, so that no build tool slips in unseen.
INSTALL := -m pip install --quiet --require-hashes --only-binary :all: --requirement
# The build backend is the locked one too: pip would fetch the newest for an isolated build.
EDITABLE := -m pip install --quiet --no-deps --no-build-isolation --editable .
UPGRADE := --upgrade
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock'

.PHONY: help setup demo test check fmt lock bench clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(VENV)/.ready ## make the environment (.venv)

$(VENV)/.ready: pyproject.toml requirements/dev.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up $(VENV) (once, about a minute) ..."
	@"$(PYTHON)" -m venv --clear $(VENV)
	@$(BIN)/python $(INSTALL) requirements/dev.txt
	@$(BIN)/python $(EDITABLE)
	@touch $@

demo: setup ## the main job, with no API key: three regions, one dies and comes back (ARGS=--interactive)
	@$(BIN)/turnout demo $(ARGS)

test: setup ## all tests
	$(BIN)/python -m pytest $(ARGS)

check: setup ## format, lint, types, import direction
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache

fmt: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: setup ## renew requirements/: the newest versions that pyproject.toml allows (UPGRADE= keeps what still fits)
	$(COMPILE) $(UPGRADE) --extra dev pyproject.toml --output-file requirements/dev.txt

bench: ## what a routed call costs, against other clients in the same run (in .venv-bench)
	@"$(PYTHON)" -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --editable '.[bench]' 2>/dev/null || { \
		.venv-bench/bin/python -m pip install --quiet --editable '.[cli,fast]' -r benchmarks/requirements.txt 'openai>=3' && \
		.venv-bench/bin/python -m pip install --quiet --no-deps 'litellm>=1.107'; }
	.venv-bench/bin/python -m benchmarks.overhead $(ARGS)

clean: ## remove the environment and caches
	rm -rf .venv .venv-* build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
