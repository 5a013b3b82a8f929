# votesync. `make` says what there is; `make test` is the whole check.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help venv check test unit scenarios simulation component e2e demo sim sim-long mutants soak crashes fuzz pictures bench clean

# The first Python that is new enough; another one: make PYTHON=/path/to/python
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
  $$python -c '$(NEW_ENOUGH)' 2>/dev/null && { echo $$python; exit; }; done; echo python3)
ENGINE ?= auto
VENV := .venv
BIN := ./$(VENV)/bin
RUNS := $(VENV)/.votesync-runs
TESTS := $(VENV)/.votesync-tests
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile
SUITES := unit scenarios simulation component e2e
PYTEST := $(BIN)/python -m pytest
# These tests wait for sockets, processes and containers most of the time. Component: a file stays with one
# worker, as its tests share what they need; e2e: tests/e2e/conftest.py says who has what.
HOW_component := --numprocesses 2 --dist loadfile
HOW_e2e := --numprocesses 2 --dist loadscope --durations 12
JOBS ?= 2
FOR ?= 600
SEEDS ?= $(shell date +%s)000:

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(TESTS) ## Make .venv with votesync and what its tests need

$(RUNS): pyproject.toml
	@$(PYTHON) -c '$(NEW_ENOUGH)' 2>/dev/null || { \
	  echo "make: $(PYTHON) is missing or older than 3.11. Name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "make: this Python cannot make environments (venv or ensurepip is missing). Install them:" \
	    "sudo apt install $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" >&2; exit 1; }
	@echo "Making $(VENV) (once)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --editable . || { \
	  echo "make: the packages that votesync needs could not be installed (above). Is there a way to a package index?" >&2; exit 1; }
	@touch $@

$(TESTS): $(RUNS) requirements-dev.txt
	@echo "Adding what the tests need (once)" >&2
	@$(PIP) --requirement requirements-dev.txt
	@touch $@

check: $(TESTS) ## Lint, types, imports, form
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-logo
	$(PYTEST) tests/test_tidy.py

test: check ## Everything: the check, then every suite (one of them: make unit, scenarios, simulation, component, e2e)
	@for suite in $(SUITES); do echo "== $$suite"; $(MAKE) -s $$suite || exit 1; done

unit scenarios simulation component e2e: $(TESTS) ## Run one suite
	$(PYTEST) tests/$@ $(HOW_$@)

demo: $(RUNS) ## A cluster of five: start, watch, kill the leader, go on, verify, stop (ENGINE=local|docker)
	@$(BIN)/python examples/demo.py --engine $(ENGINE)

sim: $(TESTS) ## Simulate 2,000 seeds, or replay one: make sim SEED=7
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--jobs $(JOBS))

sim-long: $(TESTS) ## Simulate new seeds for a while: make sim-long FOR=600 JOBS=2 SEEDS=100000:
	@$(BIN)/python -m tests.simulation --for $(FOR) --jobs $(JOBS) --seeds $(SEEDS)

mutants: $(TESTS) ## Switch off one rule after the other and see what notices (JOBS=2; or by hand: python -m tests.mutants --help)
	@$(BIN)/python -m tests.mutants --jobs $(JOBS)

soak: $(TESTS) ## Break it for as long as told and print what became of it: make soak SECONDS=3600 SEED=1
	@$(BIN)/python tests/soak/soak.py --seconds $(or $(SECONDS),3600) --seed $(or $(SEED),1)

crashes: $(TESTS) ## Kill a node at every write, sync and rename of a run, fail its disk there, damage every record (~30 min)
	VOTESYNC_ALL_POINTS=1 $(PYTEST) tests/e2e/faults

FUZZES := $(VENV)/.votesync-fuzz
$(FUZZES): $(TESTS)
	@echo "Adding Atheris (once)" >&2
	@$(PIP) 'atheris>=2.3'
	@touch $@

fuzz: $(FUZZES) ## Fuzz every decoder with Atheris: make fuzz SECONDS=60 (each) TARGET=journal
	@$(BIN)/python tests/fuzz/fuzz.py --seconds $(or $(SECONDS),60) $(TARGET)

pictures: $(TESTS) ## Draw the pictures of the README anew, from a real run
	@$(BIN)/python docs/make_pictures.py

BENCH ?= all
BENCHES := $(VENV)/.votesync-benches
$(BENCHES): $(RUNS)
	@echo "Adding what the benchmarks need (once)" >&2
	@$(PIP) --editable '.[fast,bench]'
	@touch $@

bench: $(BENCHES) ## Measure it beside etcd, PySyncObj, Redis; fill in docs/PERFORMANCE.md (BENCH=compare|nodes|…)
	$(BIN)/python -m benchmarks $(BENCH)
	@[ "$(BENCH)" = all ] || $(BIN)/python -m benchmarks report

clean: ## Remove what the other targets made
	rm -rf $(VENV) votesync-demo .soak .fuzz build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
