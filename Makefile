# `make demo` and `make test` are all that a newcomer needs: both set the machine up first.

SHELL := /bin/bash
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup test-servers test demo bench lint format lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: system packages (root or sudo) and .venv
	@packaging/setup/system.sh
	@packaging/setup/venv.sh
	@packaging/setup/sendmail.sh

test-servers:
	@packaging/setup/system.sh tests
	@packaging/setup/axe.sh

test: test-servers lint ## Check the style, then run all tests; PYTEST_ARGS="-k loop" for some of them
	@echo '== pytest'
	@$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

demo: setup ## Send real mail through a private Postfix; KEEP=1 leaves it up until Ctrl-C
	@$(BIN)/codomain demo $(if $(KEEP),--keep)

bench: setup ## Measure everything into bench/RESULTS.md (20 minutes); BENCH_ARGS=--quick
	@$(BIN)/python bench/report.py $(BENCH_ARGS)

lint: setup ## Run ruff, mypy and import-linter
	@echo '== ruff check'
	@$(BIN)/ruff check --quiet
	@echo '== ruff format --check'
	@$(BIN)/ruff format --check --quiet
	@echo '== mypy --strict'
	@$(BIN)/mypy
	@echo '== import-linter'
	@$(BIN)/lint-imports

format: setup ## Rewrite the sources as ruff wants them
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format

lock: ## Choose the newest releases that pyproject.toml permits, and lock them by hash
	@packaging/setup/lock.sh

clean: ## Remove .venv, caches and build results; system packages stay
	rm -rf .venv build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
