# One virtual environment, made from pyproject.toml and made again when that changes.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin

.PHONY: demo check test format lint layers types

demo: $(VENV)/ready-run           ## a server answering a client
	@sh docs/demo.sh $(BIN)

check: lint layers types test     ## everything that must hold before a commit

lint: $(VENV)/ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

layers: $(VENV)/ready-dev
	$(BIN)/lint-imports --no-cache

types: $(VENV)/ready-dev
	$(BIN)/mypy

test: $(VENV)/ready-test
	$(BIN)/python -m pytest

format: $(VENV)/ready-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/ready-run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/ready-test: $(VENV)/ready-run
	$(BIN)/pip install --quiet --editable '.[test]'
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready-test
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@
