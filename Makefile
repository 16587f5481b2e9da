# Targets for working on photoseek from a checkout. Needs make, python3 >= 3.11 and its venv module.

PYTHON ?= python3
VENV ?= .venv
# The arguments of pip for torch. Options are allowed, because they are installed separately, before the project.
TORCH ?= torch torchvision
# Number of processes for the tests. Each file is run by one process, so that its fixtures are made once.
TEST_WORKERS ?= auto
PYTEST_ARGS ?=
BENCH_ARGS ?=
# A file of exact versions with hashes for test and check; without one, the newest that pyproject.toml allows.
LOCK ?=
# --upgrade: the newest versions of everything.
LOCK_ARGS ?=

PY := $(VENV)/bin/python
# Files in the order of folders, so that tests of one folder share its servers and its browser.
# One thread per process: several processes with a thread for each core would block each other at full load.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n $(TEST_WORKERS) --maxprocesses=4 --dist=loadfile --no-loadscope-reorder --max-worker-restart=2
PIP := $(PY) -m pip --quiet --disable-pip-version-check --no-input
MADE := $(VENV)/.photoseek-made
CPU := $(VENV)/.photoseek-cpu
FAST := $(VENV)/.photoseek-fast
FULL := $(VENV)/.photoseek-full
# Programs for releases: they need other packages than photoseek.
TOOLS := $(VENV)/tools
TOOLS_MADE := $(TOOLS)/.photoseek-tools
CI_LOCK := release/requirements.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# All stamps belong to one environment: two pips must not run in it at the same time.
.NOTPARALLEL:
.PHONY: help demo test test-fast check bench wheel sbom lock audit clean milvus-server

help: ## show this list
	@echo 'usage: make TARGET [VARIABLE=value ...]'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s%s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'variables:'
	@echo '  PYTHON       Python >= 3.11 that the environment is made with (now: $(PYTHON))'
	@echo '  VENV         folder of the environment (now: $(VENV))'
	@echo '  TORCH        how pip gets torch for test and check (now: $(TORCH))'
	@echo '               Linux gets the CUDA build by default, about 5.5 GB on disk; for the small CPU build:'
	@echo "               make test TORCH='torch torchvision --index-url URL', URL as given on pytorch.org"
	@echo '  TEST_WORKERS processes that run the tests (now: $(TEST_WORKERS), one for each core and 4 at most)'
	@echo '  PYTEST_ARGS  more options for pytest'
	@echo '  BENCH_ARGS   options for the benchmark'
	@echo '  LOCK         a file of versions and hashes for test and check, for instance $(CI_LOCK)'
	@echo '  LOCK_ARGS    options for lock; --upgrade takes the newest versions of everything'

demo: $(CPU) ## set up, index examples/photos, search it by words and by picture
	@$(PY) examples/demo.py

test: $(FULL) ## set up (with torch) and run every test
	$(PYTEST) $(PYTEST_ARGS)

test-fast: $(FAST) ## set up without torch and run the tests that need none
	$(PYTEST) -m 'not torch' $(PYTEST_ARGS)

check: $(FULL) ## lint (ruff) and check types (mypy)
	$(PY) -m ruff check .
	$(PY) -m mypy

# A choice of kernels in the environment would change the figures of exact search.
bench: $(CPU) ## measure: stages, encoder, re-index, queries, memory
	@unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE; $(PY) -m benchmarks.run $(BENCH_ARGS)

wheel: $(TOOLS_MADE) ## build the wheel, install it into an empty environment, run the demo and a search there
	@rm -rf build/lib build/bdist.* dist/*.whl
	@$(TOOLS)/bin/python -m pip --quiet --disable-pip-version-check --no-input wheel --no-deps --no-build-isolation -w dist .
	@'$(PYTHON)' release/try_wheel.py "$$(echo $(CURDIR)/dist/photoseek-*.whl)" $(LOCK)

sbom: $(FULL) $(TOOLS_MADE) ## write dist/photoseek.cdx.json: every package needed at runtime, with version and licence
	@$(TOOLS)/bin/python release/sbom.py $(PY) dist/photoseek.cdx.json

# pip may be told on this machine to take no release newer than some (its setting constraint): a lock that it refuses helps nobody.
lock: $(TOOLS_MADE) ## pin versions and hashes for CI anew, in release/ (needs a package index)
	@limits=$$($(TOOLS)/bin/python -m pip config list | sed -n "s/^[a-z:]*\.constraint='\(.*\)'$$/\1/p" | head -n 1); \
	pin() { $(TOOLS)/bin/uv pip compile --quiet --generate-hashes --no-header --no-annotate --python-version 3.11 \
		$${limits:+--constraint $$limits} $(LOCK_ARGS) "$$@"; }; \
	pin pyproject.toml --extra cpu --extra torch --extra web --extra mcp --extra dev \
		--python-platform x86_64-manylinux_2_28 -o $(CI_LOCK) \
	&& pin release/build.in --constraint $(CI_LOCK) --universal -o release/build.txt \
	&& pin release/tools.in --universal -o release/tools.txt

audit: $(TOOLS_MADE) ## report known vulnerabilities of the pinned packages (asks an advisory service over the network)
	$(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes -r $(CI_LOCK)

# Not $(VENV): one chosen by the user may contain other projects.
clean: ## remove .venv, the demo's gallery, build products and caches
	rm -rf .venv .demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis ./*.egg-info
	find . -name .git -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

# The server for the tests beside a real Milvus, in an environment of its own. They take minutes: without it, they are skipped.
milvus-server: $(MADE)
	@[ -x '$(VENV)/milvus-server/bin/milvus-server' ] || { \
		'$(PYTHON)' -m venv '$(VENV)/milvus-server' \
		&& '$(VENV)/milvus-server/bin/pip' --quiet --disable-pip-version-check --no-input install milvus==2.3.5; } \
		|| echo 'No Milvus server for this machine: the tests beside one are skipped'

# --- the environment: a stamp is written only when its install succeeded ------------------------------------

$(MADE):
	@command -v '$(PYTHON)' >/dev/null 2>&1 || { \
		echo 'make: no "$(PYTHON)" found. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3' >&2; \
		exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: photoseek needs Python 3.11 or newer; $(PYTHON) is $$('$(PYTHON)' --version 2>&1)." >&2; \
		echo '      Name a newer one, for instance: make PYTHON=python3.12' >&2; \
		exit 1; }
	@'$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null || { \
		echo 'make: $(PYTHON) cannot make environments: its venv or ensurepip module is missing.' >&2; \
		echo '      On Debian and Ubuntu: sudo apt install python3-venv' >&2; \
		exit 1; }
	@echo 'Making the environment $(VENV)'
	@'$(PYTHON)' -m venv '$(VENV)'
	@touch $@

$(CPU): pyproject.toml $(MADE)
	@echo 'Installing photoseek[cpu] into $(VENV)'
	@$(PIP) install -e '.[cpu]'
	@touch $@

$(FAST): pyproject.toml $(MADE)
	@echo 'Installing photoseek[cpu,web,mcp,dev] into $(VENV)'
	@$(PIP) install -e '.[cpu,web,mcp,dev]'
	@touch $(CPU) $@

$(TOOLS_MADE): release/tools.txt $(MADE)
	@echo 'Installing release/tools.txt into $(TOOLS)'
	@'$(PYTHON)' -m venv '$(TOOLS)'
	@$(TOOLS)/bin/python -m pip --quiet --disable-pip-version-check --no-input install --require-hashes -r release/tools.txt
	@touch $@

ifneq ($(LOCK),)
# Nothing is installed that has not one of these hashes, the packages that build others included: those come first.
$(FULL): pyproject.toml $(LOCK) $(MADE)
	@echo 'Installing $(LOCK) into $(VENV): up to 5.5 GB'
	@$(PIP) install --require-hashes -r release/build.txt
	@$(PIP) install --require-hashes --no-build-isolation -r $(LOCK)
	@$(PIP) install --no-build-isolation --no-deps -e .
	@touch $(CPU) $(FAST) $@
else
$(FULL): pyproject.toml $(MADE)
	@echo 'Installing $(TORCH) into $(VENV): by default up to 5.5 GB on Linux (see: make help)'
	@$(PIP) install $(TORCH)
	@echo 'Installing photoseek[cpu,torch,web,mcp,dev] into $(VENV)'
	@$(PIP) install -e '.[cpu,torch,web,mcp,dev]'
	@touch $(CPU) $(FAST) $@
endif
