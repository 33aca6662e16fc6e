PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FLOORS := .venv-floors
NEWEST := .venv-newest
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Everything is held by its hash and nothing is built from source, so that no build tool slips in unseen.
INSTALL := -m pip install --quiet --no-deps --require-hashes --only-binary :all: --requirement
# The build backend is the locked one too: pip would fetch the newest for an isolated build.
EDITABLE := -m pip install --quiet --no-deps --no-build-isolation --editable .
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --custom-compile-command 'make lock' pyproject.toml
USED := $(addprefix --extra ,fast cli bedrock vertex redis sql postgres encrypt)
UPGRADE := --upgrade

.PHONY: help setup demo test check fmt lock floors newest bench clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(VENV)/.ready ## make the environment (.venv)

$(VENV)/.ready: requirements/dev.txt pyproject.toml
$(FLOORS)/.ready: requirements/floors.txt pyproject.toml

%/.ready:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up $* (once, about a minute) ..."
	@"$(PYTHON)" -m venv --clear $*
	@$*/bin/python $(INSTALL) $<
	@$*/bin/python $(EDITABLE)
	@touch $@

demo: setup ## the main job, with no API key: three regions, one dies and comes back (ARGS=--interactive)
	@$(BIN)/turnout demo $(ARGS)

test: setup ## all tests
	$(BIN)/python -m pytest $(ARGS)

check: setup ## format, lint, types, import direction, and that what is installed goes together
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pip check

fmt: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

floors: $(FLOORS)/.ready ## all tests, at the lowest versions that pyproject.toml allows
	$(FLOORS)/bin/python -m pytest $(ARGS)

newest: ## check and all tests with the newest versions of everything, in .venv-newest; nothing of it is kept
	@"$(PYTHON)" -m venv --clear $(NEWEST)
	@$(NEWEST)/bin/python -m pip install --quiet --editable '.[dev]'
	@grep -oE '^[a-z0-9-]+==[^ ]+' requirements/dev.txt > $(NEWEST)/locked
	@$(NEWEST)/bin/uv pip freeze --quiet --python $(NEWEST) --exclude-editable > $(NEWEST)/found
	@grep -vxFf $(NEWEST)/locked $(NEWEST)/found | grep -vE '^(pip|setuptools|wheel)==' > $(NEWEST)/news || true
	@sed 's/^/not in the lock: /' $(NEWEST)/news
	@touch $(NEWEST)/.ready
	@if test -s $(NEWEST)/news; then $(MAKE) --keep-going VENV=$(NEWEST) check test; else echo "nothing is newer than the lock"; fi

lock: setup ## renew requirements/: the newest versions that pyproject.toml allows (UPGRADE= keeps what still fits)
	$(COMPILE) --extra dev --generate-hashes $(UPGRADE) --output-file requirements/dev.txt
	$(COMPILE) $(USED) --no-deps --resolution lowest-direct --output-file $(VENV)/floors.in
	cp requirements/dev.txt requirements/floors.txt
	$(COMPILE) --extra test --generate-hashes --constraint $(VENV)/floors.in --output-file requirements/floors.txt

bench: ## what a routed call costs, against other clients in the same run (in .venv-bench)
	@"$(PYTHON)" -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --editable '.[bench]' 2>/dev/null || { \
		.venv-bench/bin/python -m pip install --quiet --editable '.[cli,fast]' -r benchmarks/requirements.txt 'openai>=3' && \
		.venv-bench/bin/python -m pip install --quiet --no-deps 'litellm>=1.107'; }
	.venv-bench/bin/python -m benchmarks.overhead $(ARGS)

clean: ## remove the environments and caches
	rm -rf .venv .venv-* build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
