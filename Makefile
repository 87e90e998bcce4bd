# Every target makes the virtual environment it needs; nothing has to be installed first but Python 3.11+ and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_ALL := $(VENV)/.installed-all
# Installed first and alone, so that pip takes the build it finds first, such as a CPU build in a `find-links` folder;
# left to the extras, it would look for a newer one, on Linux with gigabytes for GPUs. There are builds for Python 3.10
# to 3.15; for another: make TORCH=torch==X test.
TORCH ?= torch==2.13.0

.PHONY: demo test trained bench lint types docs results clean help

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ev_marl needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): a minute or two, once."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

$(INSTALLED_ALL): $(INSTALLED)
	@echo "Installing training libraries into $(VENV): some minutes, once."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)" || { echo '$(TORCH) does not install on this Python or machine; choose another: make TORCH=torch==X test'; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev,rllib,sb3,torchrl,supersuit]"
	touch $@

demo: $(INSTALLED)  ## policies against the cooperative optimum on the workplace scenario
	$(BIN)/ev-marl compare workplace --days 30 --seed 0 --out runs/demo

test: $(INSTALLED)  ## the test suite; what needs a training library that is not installed is skipped
	$(BIN)/python -m pytest -n auto

trained: $(INSTALLED_ALL)  ## the whole test suite, with RLlib and the other training libraries
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
