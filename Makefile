PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test check fmt bench clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(VENV)/.ready ## make the environment (.venv)

$(VENV)/.ready: pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up $(VENV) (once, about a minute) ..."
	@"$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
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

bench: setup ## what a routed call costs, against other clients in the same run
	@$(BIN)/python -m pip install --quiet --editable '.[bench]' 2>/dev/null || { \
		$(BIN)/python -m pip install --quiet -r benchmarks/requirements.txt && \
		$(BIN)/python -m pip install --quiet --no-deps 'litellm>=1.107'; }
	$(BIN)/python -m benchmarks.overhead $(ARGS)

clean: ## remove the environment and caches
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
