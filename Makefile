# Everything a fresh machine with Python 3.11 needs: `make demo` runs the main job, `make test` the tests.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
OUT ?= runs/demo
# `dev,android` also brings ziglang (411 MB), which links the runner for Android.
EXTRAS ?= dev
# Tests at once, each with devices of its own; more than there are cores only makes them wait for each other.
JOBS ?= 2

.PHONY: demo test check lint types install clean

demo: $(INSTALLED)
	@rm -rf $(OUT)
	$(BIN)/edgecat run --out $(OUT)

test: $(INSTALLED)
	$(BIN)/pytest -n $(JOBS) --dist loadfile

check: lint types test

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(INSTALLED)
	$(BIN)/mypy

install: $(INSTALLED)

# constraints.txt holds the whole set of versions that was tested together, on Python 3.11.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 10) <= sys.version_info[:2] <= (3, 13) else "edgecat needs Python 3.10 to 3.13")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
