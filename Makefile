SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Parts of others, and one that needs a model and data that nothing here brings along.
NO_BENCHMARK := $(addprefix benchmarks/,figures.py leaderboard.py trainers.py)

# Images of Python set it; each of a run's many processes would then compile all of Wherry again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test nightly check docs clean help

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: $(READY) ## from the versioned data to a served, gated release and its report
	@$(BIN)/wherry run

test: $(READY) ## every test, quick ones first
	@bash scripts/test.sh $(BIN)

nightly: $(READY) ## the tests that take minutes each, and the quick form of every benchmark
	@$(BIN)/pytest -m nightly --durations=10
	@for each in $(filter-out $(NO_BENCHMARK),$(wildcard benchmarks/*.py)); do \
		echo "$$each"; $(BIN)/python $$each --quick; done

check: $(READY) ## format, lint, types, import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(READY) ## the settings and command reference in docs/reference
	@$(BIN)/python scripts/reference.py

$(READY): pyproject.toml constraints.txt scripts/install.sh
	@bash scripts/install.sh $(PYTHON) $(VENV)

clean: ## stop the demo's server and remove what the runs made
	@test ! -x $(BIN)/wherry || $(BIN)/wherry stop
	@rm -rf .wherry .mypy_cache .pytest_cache .ruff_cache
