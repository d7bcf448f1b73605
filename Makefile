# Every development task is one target; .ci/run calls the same ones. `make help` lists those whose line has a `##`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: FORCE help setup develop run slm-demo auton-demo test test-fast test-frames test-clang test-compilers test-pythons test-models test-clients test-slm \
    test-llama-server test-vllm lint schemas requirements format bench bench-peers sanitize fuzz fuzz-guided fuzz-http fuzz-models peers clean \
    wheel sdist deb release test-packages

PYTHON ?= python3
ENGINE_WERROR ?= OFF
VENV := .venv
BIN := $(VENV)/bin
# Processes that run tests side by side: one for each CPU that this one may use. Each may hold a gigabyte.
WORKERS ?= $(shell count=$$(nproc); echo $$((count < 8 ? count : 8)))
# Tests write thousands of files that need not survive them. In memory, where there is enough of it, none of them waits for
# a disk: the record store's alone waits 25 times as long.
MEMORY_FOLDER := $(shell [[ -w /dev/shm && $$(df --output=avail -BG /dev/shm | tail -1 | tr -dc 0-9) -ge 6 ]] && echo /dev/shm)
IN_MEMORY := $(if $(MEMORY_FOLDER),TMPDIR=$(MEMORY_FOLDER))
PYTEST := $(IN_MEMORY) $(BIN)/python -m pytest
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
CXX_FILES := $(shell find csrc tests/fuzz/native -name '*.cpp' -o -name '*.h')
CORE_FILES := $(shell find csrc -type f)
PACKAGES := engine actors protocol tools

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- setup: each stamp is as old as the last time its step was needed ----------------------------------------------

setup: $(VENV)/.package ## a virtual environment with the engine, built from here

$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.10")'
	$(PYTHON) -m venv $(VENV)
	touch $@

# The build runs without isolation, so that its paths stay valid and the next one is incremental.
$(VENV)/.dependencies: $(VENV)/.created pyproject.toml
	$(PIP) install 'tomli>=2.0'
	$(BIN)/python -c 'import tomli; p = tomli.load(open("pyproject.toml", "rb")); \
	    print(*p["build-system"]["requires"], *p["project"]["dependencies"], "cmake>=3.26", "ninja>=1.11", sep="\n")' \
	    | $(PIP) install --requirement /dev/stdin
	touch $@

# An editable install knows modules by their names when it is made: one that is new or moved asks for another.
$(VENV)/.modules: $(VENV)/.created FORCE
	@find $(PACKAGES) -name '*.py' | sort >$@.new
	@if cmp --silent $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(VENV)/.package: $(VENV)/.dependencies $(VENV)/.modules CMakeLists.txt $(CORE_FILES)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) install --no-deps --no-build-isolation \
	    --config-settings=cmake.define.ENGINE_WERROR=$(ENGINE_WERROR) --editable .
	touch $@

develop: $(VENV)/.development ## the same with what tests and checks need

$(VENV)/.development: $(VENV)/.package pyproject.toml
	$(BIN)/python -c 'import tomli; p = tomli.load(open("pyproject.toml", "rb")); \
	    print(*p["project"]["optional-dependencies"]["dev"], sep="\n")' | $(PIP) install --requirement /dev/stdin
	touch $@

# --- tasks -----------------------------------------------------------------------------------------------------------

run: setup ## fetch a real model, stream one answer, show its metrics
	tools/demonstrate.sh

test: develop ## everything; minutes
	$(PYTEST) -q -n $(WORKERS) --dist worksteal $(TESTS)

# For between two edits, within a minute. Left out is what starts processes or has golden data (tests/tools,
# requirements, fuzz, benchmarks, golden models, emulated processors), and modules marked `slow`: most hold every kernel
# table, tensor type or architecture to the same bits. Before a commit, `make test`.
test-fast: develop ## the parts' own tests, within a minute
	$(PYTEST) -q -n $(WORKERS) --dist worksteal -m "not slow and not models" \
	    tests/actors tests/csrc tests/engine tests/protocol tests/test_docs.py tests/test_layers.py tests/test_names.py \
	    tests/test_packaging.py

test-frames: develop ## the actors' tests once more, with msgpack instead of objects between actors
	ENGINE_TEST_FRAMES=1 $(PYTEST) -q -n $(WORKERS) --dist worksteal tests/actors

test-clang: develop ## the bits of a build with clang: determinism, golden data, the digest of the arithmetic
	$(IN_MEMORY) tools/test_preset.sh clang --dist worksteal --tx "$(WORKERS)*popen//python=$(CURDIR)/$(BIN)/python -S"

# Each compiler has a build of its own, in build/compilers; those that are not installed are named and passed over.
COMPILERS ?= g++-11 g++-13 g++-14 clang++-15 clang++-16 clang++-19

test-compilers: develop ## the bits of a build with each other compiler that is installed
	for compiler in $(COMPILERS); do \
	    if command -v "$$compiler" >/dev/null; then echo "$$compiler:"; tools/test_preset.sh "$$compiler"; \
	    else echo "$$compiler is not installed"; fi; \
	done

# Each Python has a build and an environment of its own; TESTS names a part of the suite.
PYTHONS ?= python3.10 python3.13

test-pythons: ## the suite on the oldest Python that is supported, and on the newest
	for python in $(PYTHONS); do \
	    version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    $(MAKE) test PYTHON=$$python VENV=build/venv-$$version; \
	done

# The models' folder: see tests marked `models`.
test-models: develop ## tests that need gigabytes, in ENGINE_TEST_MODELS
	ENGINE_TEST_MODELS="$${ENGINE_TEST_MODELS:?name the folder that holds the models}" $(BIN)/python -m pytest -q -m models

# Clients made by others, each in the version that it was tried in. They have an environment of their own, where their
# dependencies cannot come between the engine and its own; where npm is missing, the tests of its packages are skipped.
# What they warn of is not ours to mend. ARGUMENTS are pytest's.
CLIENTS := build/clients-venv

$(CLIENTS)/.installed: tests/clients/requirements.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip --quiet --disable-pip-version-check install --requirement $<
	touch $@

build/clients-npm/.installed: tests/clients/npm/package.json
	mkdir -p build/clients-npm
	cp $< build/clients-npm/
	if command -v npm >/dev/null; then npm install --prefix build/clients-npm --silent --no-audit --no-fund; fi
	touch $@

test-clients: setup $(CLIENTS)/.installed build/clients-npm/.installed ## clients made by others against the engine's HTTP
	$(CLIENTS)/bin/python -m pytest -q -W default tests/clients $(ARGUMENTS)

# Small models: PyTorch and what it needs have an environment of their own, which also sees the engine's. The build of
# PyTorch for CPUs is enough; where it has no index of its own, pip takes the one that is configured.
SLM := build/slm-venv

$(SLM)/.installed: tests/slm/requirements.txt $(VENV)/.development
	$(PYTHON) -m venv $(SLM)
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	    >"$$($(SLM)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/engine.pth"
	$(SLM)/bin/python -m pip --quiet --disable-pip-version-check install --requirement $<
	touch $@

test-slm: $(SLM)/.installed ## small models trained, exported and run by the engine; within 90 seconds
	$(SLM)/bin/python -m pytest -q tests/slm $(ARGUMENTS)

slm-demo: $(SLM)/.installed ## train tiny_10M for MINUTES, quantize it, run it in the engine
	SLM_PYTHON=$(SLM)/bin/python ENGINE_CTL=$(BIN)/engine-ctl tools/slm_demo.sh $(or $(MINUTES),10)

auton-demo: develop ## agents by a script write kernels that boot in QEMU, on three architectures
	PYTHON=$(BIN)/python AUTON=$(CURDIR)/$(BIN)/auton tools/auton_demo.sh

# vLLM's tests of its promise that batches change no bit, which are fetched and not kept here. ENGINE_VLLM_MODEL: another
# model than SmolLM2, by its name or path. The model that the tests themselves name is the only one that one of them takes.
VLLM := build/vllm-tests
VLLM_SOURCE := https://raw.githubusercontent.com/vllm-project/vllm

$(VLLM)/test_online_batch_invariance.py: VLLM_COMMIT := 088f7e54b76c0d1d7b3ec8f7039076c66b68468b
$(VLLM)/utils.py: VLLM_COMMIT := 1205fb9415833e4f26586f9eabc6559adb887aaf
$(VLLM)/test_online_batch_invariance.py $(VLLM)/utils.py:
	mkdir -p $(VLLM)
	curl --fail --silent --show-error --output $@ $(VLLM_SOURCE)/$(VLLM_COMMIT)/tests/v1/determinism/$(@F)

test-vllm: setup $(CLIENTS)/.installed $(VLLM)/test_online_batch_invariance.py $(VLLM)/utils.py ## vLLM's tests of batches
	cd $(VLLM) && PYTHONPATH=$(CURDIR) VLLM_TEST_MODEL=Qwen/Qwen3.5-0.8B \
	    ENGINE_VLLM_MODEL="$${ENGINE_VLLM_MODEL:-smollm2-135m-instruct}" \
	    $(CURDIR)/$(CLIENTS)/bin/python -m pytest -q -c /dev/null --rootdir . -p tests.clients.vllm_server $(ARGUMENTS)

# llama-server's tests, unchanged. ARGUMENTS are pytest's: make test-llama-server ARGUMENTS="unit/test_completion.py -k stream"
test-llama-server: develop ## llama-server's own tests against the engine's HTTP; minutes
	tools/peers.sh server-tests
	$(BIN)/python -m tests.peers.llama_server $(ARGUMENTS)

lint: develop ## every check that is no test: ruff, mypy, clang-format, clang-tidy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)
	@# clang refuses flags that only GCC knows.
	@PATH="$(CURDIR)/$(BIN):$$PATH" cmake --preset tidy >/dev/null
	@sed -i 's/-fno-tree-[a-z]*//g' build/tidy/compile_commands.json
	$(BIN)/python $(BIN)/run-clang-tidy.py -clang-tidy-binary $(BIN)/clang-tidy -quiet -hide-progress \
	    -extra-arg=-Wno-unknown-warning-option -p build/tidy $(CURDIR)/csrc

schemas: setup ## write protocol/schemas, after a change of plan, record or messages
	$(BIN)/python tools/write_schemas.py protocol/schemas

requirements: setup ## write docs/requirements.md, after a change of tests/requirements
	$(BIN)/python -m tests.requirements.page

format: develop ## rewrite the sources' layout
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

bench: develop ## the benchmarks that need no peer
	$(BIN)/python -m benchmarks

# Beside llama.cpp and openvino-genai; the models' folder as for test-models. ENGINE_IK_BENCH: the llama-bench of a build of
# ik_llama.cpp, which then takes part.
bench-peers: develop peers ## the benchmarks beside llama.cpp and openvino-genai
	ENGINE_TEST_MODELS="$${ENGINE_TEST_MODELS:?name the folder that holds the models}" $(BIN)/python -m benchmarks.peers $(ARGUMENTS)

sanitize: develop ## the core's tests under the sanitizers: a build for each
	tools/test_preset.sh address
	tools/test_preset.sh thread

# Seconds for each parser, and the seed: ENGINE_FUZZ_SECONDS, ENGINE_FUZZ_SEED. In the sanitizers' tree:
#   ENGINE_FUZZ_SECONDS=90 tools/test_preset.sh address -s tests/fuzz
fuzz: develop ## damaged input for every parser, ten minutes
	ENGINE_FUZZ_SECONDS="$${ENGINE_FUZZ_SECONDS:-85}" ENGINE_FUZZ_SCHEMAS="$${ENGINE_FUZZ_SCHEMAS:-2000}" $(BIN)/python -m pytest -q -s tests/fuzz

# ARGUMENTS: how many inputs for each, and which: make fuzz-guided ARGUMENTS='1000000 gguf "chat template"'
fuzz-guided: develop ## the parsers by coverage: libFuzzer under sanitizers, atheris
	tools/fuzz_guided.sh $(ARGUMENTS)

# Examples for each route and phase: ARGUMENTS=3 takes minutes.
fuzz-http: develop ## requests made of the OpenAPI document, against a real engine
	tools/fuzz_http.sh $(ARGUMENTS)

# Minutes; also ENGINE_FUZZ_SEED, and ENGINE_FUZZ_FOLDER for the latest.
fuzz-models: develop ## 10,000 damaged models, loaded and run
	ENGINE_FUZZ_MUTANTS="$${ENGINE_FUZZ_MUTANTS:-10000}" $(BIN)/python -m pytest -q -s tests/fuzz/test_model_mutants.py

peers: setup ## build llama.cpp and openvino-genai to compare with
	tools/peers.sh

# --- packages: in dist/, by tools in an environment of their own ------------------------------------------------------

PACKAGERS := build/packages-venv

$(PACKAGERS)/.installed: packaging/requirements.txt
	$(PYTHON) -m venv $(PACKAGERS)
	$(PACKAGERS)/bin/python -m pip --quiet --disable-pip-version-check install --requirement $<
	touch $@

PACKAGE := PATH="$(CURDIR)/$(PACKAGERS)/bin:$$PATH" $(PACKAGERS)/bin/python

# WHEEL_PYTHONS: programs, by name or path; those of PATH if none is named. ARGUMENTS: --compiler g++ in place of zig's.
wheel: $(PACKAGERS)/.installed ## dist/: wheels of the engine, for each Python that is here, and of its clients
	$(PACKAGE) packaging/wheel/build_wheels.py --into dist $(ARGUMENTS) $(WHEEL_PYTHONS)

sdist: $(PACKAGERS)/.installed ## dist/: the source distribution
	$(PACKAGE) -m build --sdist --outdir dist .

# DEB_PYTHON: that of the Debian release, whose wheel `make wheel` has made; of Debian 12 unless another is named.
DEB_PYTHON ?= cp311

deb: ## dist/: the Debian package, of the wheel for Debian's Python
	$(PYTHON) packaging/debian/build_deb.py --into dist dist/weos_engine-*-$(DEB_PYTHON)-*.whl

# DRAFT=--draft: only say what stands against a release.
release: $(PACKAGERS)/.installed ## dist/: every package, the bill of materials, licences and digests
	$(PACKAGE) packaging/release/list_release.py dist --tree $(DRAFT)
	$(MAKE) wheel sdist
	$(MAKE) deb
	$(PACKAGE) packaging/release/list_release.py dist $(DRAFT)

# As root, with debootstrap, in clean roots too. TESTS names a part.
test-packages: develop ## the packages in dist/, installed in empty environments and clean roots; many minutes
	ENGINE_TEST_DIST=$(CURDIR)/dist $(BIN)/python -m pytest -q $(or $(TESTS),tests/packages)

clean: ## delete what any of these made
	rm -rf build dist $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
