# `make quickstart` and `make test` are all a newcomer needs; both set up first.
PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE ?= 1

.PHONY: setup quickstart test test-fast lint benchmark

setup: .venv/installed

# constraints.txt pins torch: the CPU build on a plain machine, the CUDA build on a GPU box.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else "windtunnel needs Python 3.11 to 3.13, not %d.%d: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e '.[slurm,export,dev]'
	@touch $@

quickstart: setup
	$(BIN)/windtunnel study quickstart

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -n 2 --dist loadgroup

# For use while editing: without the tests marked slow.
test-fast: setup
	$(BIN)/pytest -n 2 --dist loadgroup -m "not slow"

benchmark: setup
	$(BIN)/python -m tests.benchmarks
