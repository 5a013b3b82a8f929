# votesync. `make` says what there is; `make test` is the whole check.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help venv check test unit scenarios simulation component e2e demo sim bench clean

PYTHON ?= python3
ENGINE ?= local
VENV := .venv
BIN := ./$(VENV)/bin
STAMP := $(VENV)/.votesync-ready
SUITES := unit scenarios simulation component e2e
PYTEST := $(BIN)/python -m pytest

help: ## Say what there is
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s%s\n", $$1, $$2 }'

venv: $(STAMP) ## Make .venv with votesync and what its tests need

$(STAMP): pyproject.toml requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "make: $(PYTHON) is missing or older than 3.11. Name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "make: this Python cannot make environments. Install the package for it:" \
	    "sudo apt install $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" >&2; exit 1; }
	@echo "Making $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable . --requirement requirements-dev.txt
	@touch $@

check: $(STAMP) ## Lint, types, imports, form
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(PYTEST) tests/test_tidy.py

test: check ## Everything: the check, then every suite
	@for suite in $(SUITES); do echo "== $$suite"; $(PYTEST) tests/$$suite || exit 1; done

unit scenarios simulation component e2e: $(STAMP) ## Run one suite
	$(PYTEST) tests/$@

demo: $(STAMP) ## A cluster of five in .demo: start, break, go on, verify, stop
	@mkdir -p .demo; cd .demo; vs="../$(BIN)/votesync --engine $(ENGINE)"; \
	$$vs down -v >/dev/null 2>&1; rm -rf compose.yml shared_data .votesync; \
	run() { printf '\n$$ votesync %s\n' "$$*"; $$vs "$$@"; }; \
	run up --nodes 5 --messages 50 --rate 25 && run kill 2 && run status && run wait && run send hello \
	  && run start 2 && run tail --no-follow -n 5 && run verify; \
	code=$$?; run down; exit $$code

sim: $(STAMP) ## Run the simulator
	$(PYTEST) tests/simulation

clean: ## Remove what the other targets made
	rm -rf $(VENV) .demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
