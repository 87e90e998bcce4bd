# Every target makes the virtual environment it needs; nothing has to be installed first but Python 3.11+ and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test bench lint types docs results clean help

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ev_marl needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): a minute or two, once."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

demo: $(INSTALLED)  ## policies against the cooperative optimum on the workplace scenario
	$(BIN)/ev-marl compare workplace --days 30 --seed 0 --out runs/demo

test: $(INSTALLED)  ## the whole test suite
	$(BIN)/python -m pytest -n auto

bench: $(INSTALLED)  ## speed measurements; nothing is asserted
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only -s

lint: $(INSTALLED)  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)  ## mypy, strict
	$(BIN)/mypy

docs: $(INSTALLED)  ## regenerate the pages that are generated
	$(BIN)/python docs/generate.py

results: $(INSTALLED)  ## run the comparison of the README anew, and regenerate the pages
	$(BIN)/python docs/generate.py --results

clean:  ## remove the virtual environment and caches, keep runs
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
