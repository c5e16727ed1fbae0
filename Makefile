# One virtual environment, made from pyproject.toml and made again when that changes.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin

.PHONY: demo check test torture format lint layers types bench bench-quick fuzz

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
	$(BIN)/python -m pytest $(TESTS)

torture: $(VENV)/ready-test       ## what docs/security.md promises, for ten minutes, with figures
	$(BIN)/python -m pytest tests/torture tests/test_linearizability.py --long -s

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

FUZZ_SECONDS ?= 600
FUZZED = $(VENV)/fuzz

fuzz: $(VENV)/ready-fuzz          ## the codec against bytes that nobody would send
	$(BIN)/python -m tests.fuzz.seeds $(FUZZED)
	for side in server client; do \
	    $(BIN)/python -m tests.fuzz.json_lines $$side -max_total_time=$$(($(FUZZ_SECONDS) / 2)) \
	        -max_len=1500 -timeout=10 -dict=$(FUZZED)/tokens -artifact_prefix=$(FUZZED)/$$side- \
	        $(FUZZED)/$$side tests/fuzz/samples/$$side || exit 1; \
	done

$(VENV)/ready-fuzz: $(VENV)/ready-run
	$(BIN)/pip install --quiet --editable '.[fuzz]'
	@touch $@
