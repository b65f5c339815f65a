# Each target does all its own set-up, in .venv, with the versions of constraints.txt; what is done is skipped.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
AZURITE := .venv/azurite/.ready
# Idle OpenMP threads that spin take the cores from the tests beside them; results do not depend on it.
QUIET := GOMP_SPINCOUNT=0

SUITE := $(QUIET) $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all test-oldest lint bench bench-gpu clean

demo: $(READY)
	$(BIN)/mlsession train examples/data/train --test examples/data/test --session demo/fruit.mlsession \
		--export demo/Fruit.mlmodel --license MIT

# Of the longest matrices a share of the cases, drawn by a seed that is printed; `test-all` runs them all.
test: lint $(AZURITE)
	$(SUITE) --sampled

test-all: lint $(AZURITE)
	$(SUITE)

# Exports with the oldest torch that is supported, in an environment of its own (6 GB), then with the newest.
test-oldest: $(READY)
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install --quiet torch==2.6.0 torchvision==0.21.0
	.venv-oldest/bin/pip install --quiet --editable '.[onnx]' torch==2.6.0 torchvision==0.21.0
	.venv-oldest/bin/python -m tests.export.oldest
	$(BIN)/python -m tests.export.oldest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python benchmarks/run.py

# On a machine without a GPU it says so, and runs a small sample on the CPU.
bench-gpu: $(READY)
	$(BIN)/python benchmarks/devices.py

# torch and torchvision in one command, so that the two builds fit together.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch torchvision
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

# A server that tests start, on Node.js. Where it cannot be installed its tests are skipped; if CI=true, they fail.
$(AZURITE): Makefile | $(READY)
	@if command -v npm >/dev/null && npm install --silent --no-audit --no-fund --fetch-retries 1 \
		--prefix .venv/azurite azurite@3.35.0; then touch $@; else echo "azurite could not be installed"; fi

clean:
	rm -rf .venv .venv-oldest demo build *.egg-info
