# One virtual environment, made from pyproject.toml and made again when that changes.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin

.PHONY: help demo demo-cluster check test test-versioned test-wheel suites torture format lint layers types bench bench-quick fuzz

help:                             ## what can be made, this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/ready-run           ## set up, start a server, and let the client talk to it
	@sh docs/demo.sh $(BIN)

demo-cluster: $(VENV)/ready-test  ## three Redis servers as a cluster, and two servers before them
	@sh docs/demo-cluster.sh $(BIN)

check: lint layers types test     ## all that must hold before a commit: the four that follow

lint: $(VENV)/ready-dev           ## the format of the code, and what ruff finds in it
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

layers: $(VENV)/ready-dev         ## that imports point inward
	$(BIN)/lint-imports --no-cache

types: $(VENV)/ready-dev          ## mypy --strict
	$(BIN)/mypy

# Collecting all tests takes ten seconds.
TIMED = $(shell grep -rl --include='test_*.py' 'pytest\.mark\.timing' tests)

# Exit code 5: none of the tests that were named is of this kind.
test: $(VENV)/ready-test          ## the tests; TESTS=... names some; those that assert times by themselves
	$(BIN)/python -m pytest -n auto -m "not timing" $(TESTS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest -m timing $(or $(TESTS),$(TIMED)) || [ $$? -eq 5 ]

BRIEFLY = -n auto -m "not timing" --hypothesis-profile brief

# What the version of Python, and of the packages that it gets, may change.
VERSIONED = tests/contracts tests/library tests/test_client_program.py::TestOneCommand \
    tests/test_client_program.py::TestStreams tests/test_exact_integers.py \
    tests/test_json_lines.py tests/test_json_text.py tests/test_resp.py \
    tests/test_server_process.py tests/test_settings.py

test-versioned: $(VENV)/ready-test ## some tests on one more Python: make test-versioned VENV=... PYTHON=...
	$(BIN)/python -m pytest $(BRIEFLY) $(VERSIONED)

# What an import that was rewritten wrongly would break; WHEEL_TESTS=tests runs all.
WAITING = tests/library/test_faults.py tests/library/test_time_limits.py
WHEEL_TESTS = tests/contracts/test_store.py \
    $(filter-out $(WAITING),$(wildcard tests/library/test_*.py))

test-wheel: $(VENV)/ready-test    ## tests against an installed wheel, away from the checkout
	.ci/test-wheel $(BIN) $(PYTHON) $(BRIEFLY) $(WHEEL_TESTS)

# SUITES="--short" is what CI runs; SUITES="cachelib Django" names some.
suites: $(VENV)/ready-test        ## other projects' tests of their Redis backends, fetched, against a server
	$(BIN)/python -m tests.suites $(VENV)/suites $(SUITES)

torture: $(VENV)/ready-test       ## what docs/security.md promises, for ten minutes, with figures
	$(BIN)/python -m pytest tests/torture tests/test_linearizability.py --long -s

format: $(VENV)/ready-dev         ## format the code, and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# An editable install has copies of the modules that are the top of the wheel's package.
INSTALLED = pyproject.toml hatch_build.py $(wildcard entrypoints/kvjson/*.py)
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --editable

$(VENV)/ready-run: $(INSTALLED)
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) .
	@touch $@

$(VENV)/ready-test: $(VENV)/ready-run
	@echo "Installing what the tests need ..."
	@$(INSTALL) '.[test]'
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready-test
	@echo "Installing the checks' tools, which takes a minute ..."
	@$(INSTALL) '.[dev]'
	@touch $@

# Users run optimised interpreters: the system's is one as a rule, those built by pyenv are not.
BENCH_PYTHON ?= $(firstword $(wildcard /usr/bin/python3) $(PYTHON))
BENCH_VENV = $(VENV)-bench
BENCH = $(BENCH_VENV)/bin/python -m benchmarks
BEFORE ?= HEAD~1

bench: $(BENCH_VENV)/ready-bench  ## against redis, valkey, others and commit BEFORE; half an hour
	$(BENCH).compare --json docs/benchmarks.json
	$(BENCH).plot docs/benchmarks.json docs/benchmarks.svg
	$(BENCH).durable rates --json docs/durable.json
	$(BENCH).report docs/benchmarks.json docs/benchmarks.md --durable docs/durable.json
	$(BENCH).against $(BEFORE)
	$(BENCH).client
	$(BENCH).scale

bench-quick: $(BENCH_VENV)/ready-bench ## the same in two minutes, to look at only
	$(BENCH).compare --quick
	$(BENCH).in_process
	$(BENCH).protocols

$(BENCH_VENV)/ready-bench: $(INSTALLED)
	@$(MAKE) --no-print-directory $(BENCH_VENV)/ready-run VENV=$(BENCH_VENV) PYTHON=$(BENCH_PYTHON)
	@$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

FUZZ_SECONDS ?= 600
FUZZED = $(VENV)/fuzz

fuzz: $(VENV)/ready-fuzz          ## the codec against bytes that nobody would send
	$(BIN)/python -m tests.fuzz.seeds $(FUZZED)
	for side in server client resp; do \
	    $(BIN)/python -m tests.fuzz.json_lines $$side -max_total_time=$$(($(FUZZ_SECONDS) / 3)) \
	        -max_len=1500 -timeout=10 -dict=$(FUZZED)/tokens -artifact_prefix=$(FUZZED)/$$side- \
	        $(FUZZED)/$$side tests/fuzz/samples/$$side || exit 1; \
	done

$(VENV)/ready-fuzz: $(VENV)/ready-run
	@$(INSTALL) '.[fuzz]'
	@touch $@
