# Needs only python3 and make. `make demo` shows what the project does, `make test` checks all of it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv pip install --quiet --python
READY  := $(VENV)/.ready
NEWEST := $(shell .ci/newest-python)
NEWENV := .venv-newest

.PHONY: help demo test prove bench interop docs lint test-newest clean

help:
	@sed -n 's/^## //p' Makefile

## make demo      build, open, check and upgrade the founding store on a real photograph; ends with a picture and a report
demo: $(READY)
	@$(BIN)/python examples/demo.py

## make test      install what it needs; lint, types, architecture, the whole suite (sampled), on this Python and on the newest
test: lint
	$(BIN)/python -m pytest -q -n 2
	@$(MAKE) --no-print-directory test-newest

test-newest:
ifeq ($(NEWEST),)
	@echo "no newer Python installed: the suite ran on $$($(BIN)/python --version) alone"
else
	@$(MAKE) --no-print-directory $(NEWENV)/.ready
	$(NEWENV)/bin/python -m pytest -q -n 2
endif

## make prove     everything that an issue asks to show, none of it sampled; writes docs/prove.md
prove: $(READY)
	$(BIN)/python -m pytest -q -n 2 --prove --prove-report=docs/prove.md

## make bench     speed and memory beside the codec floor and the peers; writes docs/benchmarks.md
bench: $(READY)
	$(BIN)/python benchmarks/run.py

## make interop   what other people's software reads of ours, each in its own environment; writes docs/interop.md
interop: $(READY)
	$(BIN)/python interop/run.py
	$(BIN)/python interop/forensics.py

## make docs      generate the pages that come from the code
docs: $(READY)
	$(BIN)/python docs/generate.py

## make lint      ruff, mypy --strict, import-linter
lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) $(BIN)/python --editable . --group test --group lint
	$(UV) $(BIN)/python --no-deps ngff-zarr neuroglancer # only for the JSON Schemas of OME, and for the built client, that they ship
	@touch $@

$(NEWENV)/.ready: pyproject.toml $(READY)
	$(NEWEST) -m venv $(NEWENV)
	$(UV) $(NEWENV)/bin/python --upgrade --editable . --group test
	$(UV) $(NEWENV)/bin/python --no-deps ngff-zarr neuroglancer
	@touch $@

clean:
	rm -rf $(VENV) $(NEWENV) .envs .pytest_cache .mypy_cache .ruff_cache .hypothesis
