# Every development task is one target; .ci/run calls the same ones.
#
#   make run           build, fetch a real model, stream one answer, show its metrics
#   make test, lint    what .ci/run runs                make format        rewrite the sources' layout
#   make test-models   tests that need gigabytes        make bench, peers  measured claims
#   make schemas       publish the JSON Schemas         make requirements  write docs/requirements.md
#   make sanitize      the core under sanitizers        make fuzz          damaged input for every parser, ten minutes
#   make fuzz-models   10,000 damaged models, loaded and run
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := run
.DELETE_ON_ERROR:
.PHONY: setup develop run test test-models lint schemas requirements format bench bench-peers sanitize fuzz fuzz-models peers clean

PYTHON ?= python3
ENGINE_WERROR ?= OFF
VENV := .venv
BIN := $(VENV)/bin
# Processes that run tests side by side: one for each CPU that this one may use. Each may hold a gigabyte.
WORKERS ?= $(shell count=$$(nproc); echo $$((count < 8 ? count : 8)))
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
CXX_FILES := $(shell find csrc -name '*.cpp' -o -name '*.h')
CORE_FILES := $(shell find csrc -type f)

# --- setup: each stamp is as old as the last time its step was needed ----------------------------------------------

setup: $(VENV)/.package

$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	touch $@

# The build runs without isolation, so that its paths stay valid and the next one is incremental.
$(VENV)/.dependencies: $(VENV)/.created pyproject.toml
	$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
	    print(*p["build-system"]["requires"], *p["project"]["dependencies"], "cmake>=3.26", "ninja>=1.11", sep="\n")' \
	    | $(PIP) install --requirement /dev/stdin
	touch $@

$(VENV)/.package: $(VENV)/.dependencies CMakeLists.txt $(CORE_FILES)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) install --no-deps --no-build-isolation \
	    --config-settings=cmake.define.ENGINE_WERROR=$(ENGINE_WERROR) --editable .
	touch $@

develop: $(VENV)/.development

$(VENV)/.development: $(VENV)/.package pyproject.toml
	$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
	    print(*p["project"]["optional-dependencies"]["dev"], sep="\n")' | $(PIP) install --requirement /dev/stdin
	touch $@

# --- tasks -----------------------------------------------------------------------------------------------------------

run: setup
	tools/demonstrate.sh

test: develop
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

# The models' folder: see tests marked `models`.
test-models: develop
	ENGINE_TEST_MODELS="$${ENGINE_TEST_MODELS:?name the folder that holds the models}" $(BIN)/python -m pytest -q -m models

lint: develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)
	@# clang refuses flags that only GCC knows.
	@mkdir -p build/tidy
	@sed 's/-fno-tree-[a-z]*//g' "$$(ls -t build/*/compile_commands.json | grep -v build/tidy | head -n 1)" \
	    >build/tidy/compile_commands.json
	$(BIN)/python $(BIN)/run-clang-tidy.py -clang-tidy-binary $(BIN)/clang-tidy -quiet -hide-progress \
	    -extra-arg=-Wno-unknown-warning-option -p build/tidy $(CURDIR)/csrc

# After a change of plan, record or messages.
schemas: setup
	$(BIN)/python tools/write_schemas.py protocol/schemas

# After a change of tests/requirements.
requirements: setup
	$(BIN)/python -m tests.requirements.page

format: develop
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

bench: develop
	$(BIN)/python -m benchmarks

# Beside llama.cpp and openvino-genai; the models' folder as for test-models.
bench-peers: develop peers
	ENGINE_TEST_MODELS="$${ENGINE_TEST_MODELS:?name the folder that holds the models}" $(BIN)/python -m benchmarks.peers $(ARGUMENTS)

# Long: a build and the core's tests for each.
sanitize: develop
	tools/sanitize.sh address,undefined
	tools/sanitize.sh thread

# Seconds for each parser, and the seed: ENGINE_FUZZ_SECONDS, ENGINE_FUZZ_SEED. In the sanitizers' tree:
#   ENGINE_FUZZ_SECONDS=90 tools/sanitize.sh address,undefined -s tests/fuzz
fuzz: develop
	ENGINE_FUZZ_SECONDS="$${ENGINE_FUZZ_SECONDS:-85}" $(BIN)/python -m pytest -q -s tests/fuzz

# Minutes; also ENGINE_FUZZ_SEED, and ENGINE_FUZZ_FOLDER for the latest.
fuzz-models: develop
	ENGINE_FUZZ_MUTANTS="$${ENGINE_FUZZ_MUTANTS:-10000}" $(BIN)/python -m pytest -q -s tests/fuzz/test_model_mutants.py

peers: setup
	tools/peers.sh

clean:
	rm -rf build dist $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
