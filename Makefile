# One virtual environment, made from pyproject.toml and made again when that changes.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin

.PHONY: demo check test format lint layers types bench bench-quick

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

bench: $(VENV)/ready-bench        ## against redis, valkey and others; a quarter of an hour
	$(BIN)/python -m benchmarks.compare --json docs/benchmarks.json
	$(BIN)/python -m benchmarks.plot docs/benchmarks.json docs/benchmarks.svg
	$(BIN)/python -m benchmarks.report docs/benchmarks.json docs/benchmarks.md
	$(BIN)/python -m benchmarks.client
	$(BIN)/python -m benchmarks.scale

bench-quick: $(VENV)/ready-bench  ## the same in two minutes, to look at only
	$(BIN)/python -m benchmarks.compare --quick
	$(BIN)/python -m benchmarks.in_process

$(VENV)/ready-bench: $(VENV)/ready-run
	$(BIN)/pip install --quiet --editable '.[bench]'
	@touch $@
