# The menu. Every target is one command and does its own set-up; `make` alone shows the list.
#
#   make integration-test SERVICE=agent_executor TESTBAY_ENGINE=embedded

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup lint fix test-fast test test-all integration-test check pictures lock clean

# Images of Python forbid bytecode; without it each of the hundreds of Pythons that tests start compiles us anew.
PYTEST := env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -m pytest
# Tests wait nearly as long as they work: three workers for two processors, or WORKERS=2; tests/conftest.py says what
# goes where.
PROCESSORS := $(shell getconf _NPROCESSORS_ONLN)
TESTS := $(PYTEST) -n $(or $(WORKERS),$(shell echo $$(($(PROCESSORS) * 3 / 2))))

# The unit tests of a service run with its own settings of pytest, and wait for nothing. Of several machines the first
# runs them.
UNIT := $(PYTEST) -n $(or $(WORKERS),$(PROCESSORS))
UNITS := $(if $(filter-out 1/%,$(SHARD)),,$(foreach unit,$(wildcard services/*/tests/unit),$(UNIT) $(unit) && ))

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv with the locked packages (every other target does it too)
	scripts/bootstrap

lint: ## ruff, mypy, ShellCheck, and the workflows' linters
	scripts/lint

fix: ## let ruff format and fix what it can
	scripts/lint --fix

test-fast: ## unit tests and the laws of the house, in a minute
	scripts/bootstrap && FUZZ_EXAMPLES=30 $(TESTS) -m "not slow" tests/unit tests/repo

test: ## these, the services' and the system tests, without what is slow or needs Docker, a browser or Prometheus
	scripts/bootstrap && $(UNITS)$(TESTS) -m "not slow and not equipment" tests

test-all: ## every test there is, or a part of them: make test-all SHARD=1/4
	scripts/bootstrap && $(UNITS)$(TESTS) --testbay-reruns 1 $(if $(SHARD),--shard="$(SHARD)") tests

integration-test: ## every service's integration tests, through the three tiers
	scripts/ci/run-integration-tests.sh $(SERVICE)

check: ## every service's checks, as far as they need no deployment
	scripts/ci/run-checks.sh $(SERVICE)

pictures: ## draw the pictures of the README anew, from a real run (needs Chromium)
	scripts/bootstrap && .venv/bin/python scripts/dev/pictures.py

lock: ## write requirements.lock anew after a change in a pyproject.toml
	scripts/lock

clean: ## remove .venv, run records and caches, in this checkout only
	rm -rf .venv .testbay .mypy_cache .pytest_cache .ruff_cache && find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
