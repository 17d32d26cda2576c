# make demo    the whole way on this machine: a shop, a partner's SFTP server, the example project
# make test    every test          make check   format, lint, types, floors
# make bench   side by side with psql, sftp and scripts; ROWS=6001215 ROUNDS=3 ONLY="upload starting" OUT=file.md
# make soak    tests of random cases, for hours; SOAK=0.1 for a tenth of it        make audit   known flaws of the packages, and an SBOM
# Each makes .venv itself, from the locked packages; all it needs is Python 3.11 or newer (PYTHON=… names one).

.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)

install = $(BIN)/python -m pip install --quiet --disable-pip-version-check

RUN_READY := $(VENV)/.ready-run
TEST_READY := $(VENV)/.ready-test
BENCH_READY := $(VENV)/.ready-bench
# What pip installs it compiles; an editable install is compiled when it runs, and not even then where Python may write nothing.
install_project = $(install) --no-deps --no-build-isolation --editable . && $(BIN)/python -m compileall -q batchxfer

.PHONY: help demo test soak check audit format bench lock clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -5

demo: $(RUN_READY)
	@$(BIN)/batchxfer demo

# Two processes; the tests of one module or class stay together, so that a server is started once.
test: $(TEST_READY)
	@$(BIN)/python -m pytest -n 2 --dist loadscope $(ARGS)

# Hypothesis takes other cases each time; a failure prints the case.
SOAK ?= 1
soak: $(TEST_READY)
	@BATCHXFER_SOAK=$(SOAK) $(BIN)/python -m pytest -m soak --timeout 0 $(ARGS)

check: $(TEST_READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_floors.py

# What is known of the locked packages, and what they are: build/sbom.json. Says so where nobody could be asked.
audit: $(TEST_READY)
	@$(BIN)/python .ci/audit.py

format: $(TEST_READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

ROWS ?= 1000000
ROUNDS ?= 3
bench: $(BENCH_READY)
	@$(BIN)/python -m benchmarks --rows $(ROWS) --rounds $(ROUNDS) $(if $(OUT),--out $(OUT)) $(ONLY)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "batchxfer needs Python 3.11 or newer, and none was found; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making $(VENV) with $$("$(PYTHON)" --version) …"
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) could not make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(RUN_READY): requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "Installing the locked packages …"
	@$(install) --require-hashes -r requirements/run.txt
	@$(install_project)
	@touch $@

$(TEST_READY): requirements/test.txt pyproject.toml | $(BIN)/python
	@echo "Installing the locked packages, those for tests too …"
	@$(install) --require-hashes -r requirements/test.txt
	@$(install_project)
	@touch $(RUN_READY) $@

$(BENCH_READY): $(TEST_READY) requirements/bench.txt
	@$(install) --require-hashes -r requirements/bench.txt
	@touch $@

# Newer packages: locks for every supported Python and platform, with hashes and without the address of an index.
lock: $(TEST_READY)
	$(install) uv
	$(BIN)/uv pip compile $(LOCK_OPTIONS) -o requirements/run.txt pyproject.toml requirements/build.in
	$(BIN)/uv pip compile $(LOCK_OPTIONS) -o requirements/test.txt -c requirements/run.txt \
		--extra mysql --group test --group check pyproject.toml requirements/build.in
	$(BIN)/uv pip compile $(LOCK_OPTIONS) -o requirements/bench.txt --group bench

LOCK_OPTIONS := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock"

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find batchxfer benchmarks tests -name __pycache__ -prune -exec rm -rf {} +
