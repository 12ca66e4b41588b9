# Needs Python 3.11 or newer and make; everything else is fetched into this folder.
# Settings (PORT, HOST, DATA_DIR, SEED, ...) go through: `make run PORT=9000` or `PORT=9000 make run`.

PYTHON ?= python3
UV := $(or $(shell command -v uv),.uv/bin/uv)

BIOME := .venv/bin/python -m tests.support.npm biome
SQL := sql api/database supabase/seed.sql supabase/snippets supabase/tests
# one process a core; the tests of a file stay together, for they share databases and servers
PYTEST := .venv/bin/pytest -n auto --dist loadfile --no-loadscope-reorder

# each process would compile every module again
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run dev test test-quick test-clock mutations bench bench-compare cluster lint format migration docs types clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{ printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.synced ## Start the database, migrate, seed and serve http://127.0.0.1:8000
	@exec .venv/bin/portal run

dev: .venv/.synced-dev ## The same, for contributors: follows changes of api/ and of functions in sql/
	@exec .venv/bin/python -m api.cli.dev

test: .venv/.synced-dev ## Run the tests on all cores (TEST_POSTGRES=15: on Debian's PostgreSQL 15)
	@exec $(PYTEST) $(TESTS)

test-quick: .venv/.synced-dev ## Run all but the slow tests
	@exec $(PYTEST) -m "not slow" $(TESTS)

test-clock: .venv/.synced-dev ## Run the tests that read the clock at twenty moments: midnights, month ends, clock changes
	@exec .venv/bin/python -m tests.clock -- -n auto --dist loadfile --no-loadscope-reorder

mutations: .venv/.synced-dev ## Break each rule of tests/mutations/mutations.yaml, and see that tests fail
	@.venv/bin/python -m tests.mutations.run

bench: .venv/.synced-dev ## Measure the API beside what it is made of (BENCH_SECONDS, BENCH_SIZE=large, BENCH_OUT=file)
	@exec .venv/bin/python -m tests.bench

bench-compare: .venv/.synced-dev ## Hold two results of make bench against each other (A=file B=file)
	@exec .venv/bin/python -m tests.bench compare $(A) $(B)

cluster: .venv/.synced-dev ## Run a Patroni cluster of three PostgreSQL servers on this machine until Ctrl-C (docs/cluster.md)
	@exec .venv/bin/python -m tests.cluster

lint: .venv/.synced-dev ## Check format, style, types and migrations
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/sqruff lint $(SQL)
	.venv/bin/squawk --no-error-on-unmatched-pattern supabase/migrations/*.sql
	$(BIOME) check --error-on-warnings
	.venv/bin/mypy

format: .venv/.synced-dev ## Format the code and fix what can be fixed
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .
	.venv/bin/sqruff fix $(SQL)
	$(BIOME) check --write

migration: .venv/.synced-dev ## Write supabase/migrations and access_rules.txt from sql/ (from the first release on: draft NAME=...)
	@.venv/bin/python -m tests.support.make_migration $(NAME)

docs: .venv/.synced-dev ## Write the generated part of docs/database.md again
	@.venv/bin/python -m tests.support.database_page

types: .venv/.synced-dev ## Write supabase/types/database.ts again: the types of the schema for supabase-js
	@.venv/bin/python -m tests.support.database_types

clean: ## Remove the environment and the caches; the data stays
	rm -rf .venv .uv .mypy_cache .pytest_cache .ruff_cache tests/node/node_modules

define check_python
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
endef

# what the server needs; a stamp of its own says that the tools of developers are there too
.venv/.synced: SYNC = --no-dev --inexact
.venv/.synced .venv/.synced-dev: pyproject.toml uv.lock | $(UV)
	$(check_python)
	@echo "Fetching the dependencies into .venv ..."
	@# not the name that PATH finds: for a shim of pyenv uv would make .venv anew, also beneath servers that run
	@$(UV) sync --frozen --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(SYNC)
	@touch $@

.uv/bin/uv:
	$(check_python)
	@$(PYTHON) -m venv .uv || \
	  { rm -rf .uv; echo "Python's venv module is missing: install it (Debian: apt install python3-venv)."; exit 1; }
	@echo "Fetching uv into .uv ..."
	@.uv/bin/pip install --quiet uv
