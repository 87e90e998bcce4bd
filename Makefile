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
PYTEST := $(BIN)/python -m pytest -n auto
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

define ENVIRONMENT
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ev_marl needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
endef

.PHONY: install demo test quick golden fuzz proof bench lint layers types docs results clean help

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(INSTALLED): pyproject.toml
	$(ENVIRONMENT)
	@echo "Installing into $(VENV): a minute, once."
	$(PIP) -e ".[dev]"
	touch $@

$(INSTALLED_ALL): pyproject.toml
	$(ENVIRONMENT)
	@echo "Installing everything into $(VENV), with the training libraries and pandapower: some minutes, once."
	$(PIP) "$(TORCH)" || { echo '$(TORCH) does not install on this Python or machine; choose another: make TORCH=torch==X test'; exit 1; }
	$(PIP) -e ".[dev,rllib,sb3,torchrl,supersuit,grid,pv,holidays,ageing]"
	touch $(INSTALLED) $@

install: $(INSTALLED_ALL)  ## the virtual environment with all extras, for `make test`

demo: $(INSTALLED)  ## policies against the cooperative optimum on the workplace scenario
	$(BIN)/ev-marl compare workplace --days 30 --seed 0 --out runs/demo

test: $(INSTALLED_ALL)  ## the whole test suite, with RLlib, the other training libraries and pandapower
	$(PYTEST)

quick: $(INSTALLED)  ## the tests of the core; what needs a library that is not installed is skipped
	$(PYTEST)

golden: $(INSTALLED_ALL)  ## make the numbers of the golden folders anew, and show what moved (tests/golden/README.md)
	$(BIN)/python tests/golden/remake.py

fuzz: $(INSTALLED_ALL)  ## damaged files to everything that reads files; MINUTES=30 SEED=7 (else the time) FUZZ="--kinds scenario"
	$(BIN)/python tests/fuzz/fuzz.py --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(FUZZ)

proof: $(INSTALLED_ALL)  ## returns of random scenarios with every feature against their bounds; TRIES=10000 SEED=0
	$(BIN)/python tests/validation/everything.py --tries $(or $(TRIES),10000) --seed $(or $(SEED),0)

bench: $(INSTALLED)  ## speed measurements; nothing is asserted
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only -s

lint: layers  ## ruff, and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

layers: $(INSTALLED)  ## which room may import which: the contracts in pyproject.toml
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/python -m pytest -q tests/test_layers.py

types: $(INSTALLED)  ## mypy, strict
	$(BIN)/mypy

docs: $(INSTALLED_ALL)  ## regenerate the pages that are generated
	$(BIN)/python docs/generate.py

results: $(INSTALLED_ALL)  ## run the printed commands of README and docs anew, and regenerate the pages
	$(BIN)/python docs/generate.py --results

clean:  ## remove the virtual environment and caches, keep runs
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
