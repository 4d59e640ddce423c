# `make` lists the targets. Everything runs in .venv, which is made again only when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore $(BIN)/python -m pip install -qq

# Debian's server binaries, where they are installed: tests that depend on the server's version run on them as well.
OTHER_SERVERS := $(patsubst %/postgres,--also-pg-bin=%,$(wildcard /usr/lib/postgresql/1[4-9]/bin/postgres))

# The tests that are about the roles of a managed service.
ON_MANAGED = tests/sql/test_roles.py tests/sql/test_managed_service.py

# Where this is set, each test run, and each of the many processes that tests start, would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

# CI gives what failed a second chance: .ci/second_chance.py.
PYTEST ?= $(BIN)/python -m pytest

# Tests mostly wait, so there are two processes for a core; each starts servers of its own. TEST_PROCESSES=0: one after the other.
TEST_PROCESSES ?= $(shell n=$$(($$(nproc) * 2)); [ $$n -gt 8 ] && n=8; echo $$n)
SIDE_BY_SIDE = --numprocesses=$(TEST_PROCESSES)

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-slow test-older test-all test-unit test-area test-fast test-servers test-packaging test-chart coverage bench bench-peers lint structure vale typecheck format schema reference docs clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.ready: pyproject.toml scripts/make_venv.sh
	@echo "setting up $(VENV)"
	@PYTHON="$(PYTHON)" scripts/make_venv.sh $(VENV)
	@$(PIP) --editable '.[all]'
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	@echo "setting up the tools for tests and checks in $(VENV)"
	@$(PIP) --editable '.[dev]'
	@touch $@

venv: $(VENV)/.ready-dev  ## Set up .venv with everything that tests and checks need

demo: $(VENV)/.ready  ## Start PostgreSQL, a worker and Flower, run real jobs, print what happened
	@$(BIN)/pgqueue demo

test: $(VENV)/.ready-dev  ## Run every test that is not slow, on the embedded PostgreSQL 18
	@$(PYTEST) -q $(SIDE_BY_SIDE) -m 'not slow' tests

test-slow: $(VENV)/.ready-dev  ## Run the slow tests on PostgreSQL 18, and some as on a managed service
	@$(PYTEST) -q $(SIDE_BY_SIDE) -m slow tests
	@$(PYTEST) -q --managed $(ON_MANAGED)

test-older: $(VENV)/.ready-dev  ## Run the tests that depend on the server's version on Debian's PostgreSQL, where it is installed
ifneq ($(OTHER_SERVERS),)
	@$(PYTEST) -q $(SIDE_BY_SIDE) tests $(OTHER_SERVERS) --only-also
	@$(PYTEST) -q --managed $(ON_MANAGED) $(OTHER_SERVERS) --only-also
else
	@echo "make: no server of Debian is in /usr/lib/postgresql, so nothing is tested: apt-get install postgresql"
endif

test-all: test test-slow test-older  ## Run every test: test, then test-slow, then test-older

test-unit: $(VENV)/.ready-dev  ## Run the quick unit tests, which need no server, in seconds
	@$(PYTEST) -q -p no:xdist -m 'not slow and not server' tests/unit

test-area: $(VENV)/.ready-dev  ## Run the tests of one part: AREA=broker, worker, sql, client, results or security
	@[ -n "$(AREA)" ] || { echo "make: name an area, as in: make test-area AREA=broker" >&2; exit 2; }
	@tests=$$($(BIN)/python -m tests.areas $(AREA)) && $(PYTEST) -q $(SIDE_BY_SIDE) $$tests

test-fast: $(VENV)/.ready-dev  ## Run the unit tests and the quick SQL tests, about a minute on two idle cores
	@$(PYTEST) -q $(SIDE_BY_SIDE) -m 'not slow' tests/unit tests/sql

test-packaging: $(VENV)/.ready-dev  ## Build the package, install it as the README says, run the demo from it; needs the package index
	@$(PYTEST) -q --packaging tests/acceptance/test_packaging.py

# Helm's engine is a wheel of 240 MB, so it is no part of the tools that all tests need.
test-chart: $(VENV)/.ready-dev  ## Render the Helm chart with Helm's engine, check the objects against Kubernetes' schemas; needs the package index
	@$(PIP) helm-python-sdk==0.2.2 kubernetes-validate==1.37.0
	@$(PYTEST) -q tests/unit/test_chart.py

coverage: $(VENV)/.ready-dev  ## Say which lines the tests run, by part of the code; with AREA=..., only the tests of that part run
	@mkdir -p build/coverage
	@rm -f build/coverage/data*
	@tests=$$($(BIN)/python -m tests.areas $(AREA)) && $(PYTEST) -q $(SIDE_BY_SIDE) --cov --cov-report= $$tests
	@$(BIN)/python -m tests.areas --coverage

test-servers: $(VENV)/.ready-dev  ## PostgreSQL 14 to 18 as managed services offer it, and all of the integration tests on Debian's; needs npm
	@$(BIN)/python -m tests.servers $(SERVERS)

bench: $(VENV)/.ready-dev  ## Measure our figures on a durable server of its own, beside bare INSERTs, in under 10 minutes
	@$(BIN)/python -m benchmarks $(BENCH)

bench-peers: $(VENV)/.ready-dev  ## The same work on the newest version of other queues; needs npm, redis-server, rabbitmq-server
	@$(BIN)/python -m benchmarks.peers.install
	@$(BIN)/python -m benchmarks.peers $(BENCH)

lint: $(VENV)/.ready-dev  ## Check style, prose, which module may import which, and the limits of structure
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python scripts/prose.py
	@$(BIN)/python scripts/structure.py --check

structure: $(VENV)/.ready-dev  ## Say how the package is built: cycles of imports, the largest classes and files
	@$(BIN)/python scripts/structure.py

# The package fetches Vale's binary when it first runs, from where its releases are: scripts/prose.py says what follows.
vale: $(VENV)/.ready-dev  ## Check the prose with Vale itself, which is fetched on first use; lint applies the same rules
	@$(PIP) vale==3.25.1.0
	@$(BIN)/vale README.md CONTRIBUTING.md CHANGELOG.md docs examples

typecheck: $(VENV)/.ready-dev  ## Check the types, and what mypy and pyright know of a program of a user
	@$(BIN)/mypy
	@$(BIN)/mypy --strict tests/types/of_users.py
	@$(BIN)/pyright --pythonpath $(BIN)/python tests/types

format: $(VENV)/.ready-dev  ## Put the code into the project's format
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

schema: $(VENV)/.ready-dev  ## Write tests/schema.sql and pgqueue/schema/catalog.tsv from an installation
	@$(BIN)/python -m tests.harness.schema_dump

reference: $(VENV)/.ready-dev  ## Write the generated parts of docs/reference from the database, the docstrings and the commands
	@$(BIN)/python -m tests.harness.reference

$(VENV)/.ready-docs: $(VENV)/.ready-dev
	@$(PIP) --editable '.[docs]'
	@touch $@

docs: $(VENV)/.ready-docs  ## Build the site of docs/ into build/site; any warning fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:  ## Remove what make made
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
