# Needs make, a POSIX shell and Python 3.11 or newer; everything else is installed into .venv.
SHELL := /bin/sh
# Where it is set (in many containers), every process would compile everything anew at every start.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Each process has servers of its own; three fill two cores, since tests often wait.
PYTEST := $(BIN)/python -m pytest --quiet --numprocesses 3 --dist loadscope
SOURCES := platform tenants connectors ui tests migrations

.PHONY: help demo demo-reset test lint format types unit integration journeys chaos audit bench constraints doctor clean chromium

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Install, start everything with demo data, say where to look; Ctrl-C stops it
	@exec $(BIN)/trunkline up --demo

demo-reset: $(VENV)/.demo ## The same, from the beginning: asks, then deletes the embedded data
	@exec $(BIN)/trunkline up --demo --reset

test: $(VENV)/.dev chromium ## Lint, types, import rules, and every test
	@$(MAKE) --no-print-directory lint types
	@$(PYTEST) tests/unit
	@$(PYTEST) tests/journeys tests/chaos tests/integration

lint: $(VENV)/.dev ## ruff, its formatting, and the directions between packages
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Format, and correct what ruff can
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

types: $(VENV)/.dev ## mypy, strict
	@$(BIN)/mypy

unit: $(VENV)/.dev ## Tests without a socket, in seconds
	@$(PYTEST) tests/unit

integration: $(VENV)/.dev ## Tests against real PostgreSQL and Valkey
	@$(PYTEST) tests/integration

journeys: $(VENV)/.dev chromium ## Tests in a real browser
	@$(PYTEST) tests/journeys

chaos: $(VENV)/.dev ## 1,000 faults from seed 1, checked against the truth; half an hour
	@$(BIN)/trunkline chaos --seed 1 --faults 1000

audit: $(VENV)/audit/.ready ## Known holes in the pinned packages, and secrets in files and history; asks the network
	@status=0; \
		$(VENV)/audit/bin/python tests/audit/packages.py || status=1; \
		$(VENV)/audit/bin/python tests/audit/secrets_kept.py || status=1; \
		exit $$status

constraints: $(VENV)/.dev ## Resolve constraints.txt anew for Python 3.11 to 3.14
	@[ -x $(BIN)/uv ] || $(PIP) install uv
	@echo "trunkline[embedded] @ file://$(CURDIR)" | $(BIN)/uv pip compile - --group dev --group judges --universal --upgrade \
		--python-version 3.11 --no-emit-package trunkline --no-header --no-annotate --no-emit-index-url \
		--no-emit-find-links --quiet --output-file constraints.txt

bench: $(VENV)/.bench ## Measure beside peers, which are installed first: sync, queue, fairness, intake, burst; takes a while
	@$(BIN)/trunkline bench sync --json
	@$(BIN)/trunkline bench queue --json
	@$(BIN)/trunkline bench fairness --json
	@$(BIN)/trunkline bench intake --json
	@$(BIN)/trunkline bench burst --json

doctor: $(VENV)/.demo ## What is configured, reachable and migrated, and what is wrong
	@$(BIN)/trunkline doctor

clean: ## Remove the environment and caches; data in .trunkline stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment; installed anew only when
# what it is made from has changed.
$(BIN)/python:
	@for python in python3.14 python3.13 python3.12 python3.11 python3 python; do \
		if command -v $$python > /dev/null && \
			$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then \
			echo "Making $(VENV) with $$($$python --version) ..."; \
			exec $$python -m venv $(VENV); \
		fi; \
	done; \
	found=$$(python3 --version 2> /dev/null || echo "no Python 3"); \
	echo "Trunkline needs Python 3.11 or newer with its venv module, and this machine has $$found:" \
		"install one (on Debian or Ubuntu: apt-get install python3 python3-venv)." >&2; \
	exit 1

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing; the first time takes a while ..."
	@$(PIP) install --no-compile -c constraints.txt -e '.[embedded]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing, test tools included ..."
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install -c constraints.txt -e '.[embedded]' --group dev
	@touch $@ $(VENV)/.demo

# What the measurements compare with; no test needs it.
$(VENV)/.bench: $(VENV)/.dev
	@echo "Installing the peers to measure beside ..."
	@$(PIP) install --group bench || { \
		echo "The peers could not be installed: it needs a package index that can be reached." >&2; exit 1; }
	@touch $@

# Tools that look at the environment from outside it, so that their own packages are not judged with ours.
$(VENV)/audit/.ready: pyproject.toml | $(BIN)/python
	@echo "Installing the audit's tools ..."
	@$(BIN)/python -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip --disable-pip-version-check --quiet install --upgrade 'pip>=25.1'
	@$(VENV)/audit/bin/python -m pip --disable-pip-version-check --quiet install --group audit || { \
		echo "The audit's tools could not be installed: it needs a package index that can be reached." >&2; exit 1; }
	@touch $@

# Journeys need a browser; where none can be installed they say so (and fail when CI is set).
chromium:
	@if ! command -v chromium > /dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		echo "Installing Chromium for the journeys ..."; \
		{ apt-get update -qq && \
			DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium; \
		} > /dev/null 2>&1 || echo "Chromium could not be installed." >&2; \
	fi
