# Targets for a fresh clone: `make demo`, `make test`, `make lint`. All use .venv, made once.
.PHONY: demo test test-slow test-notebooks test-models test-convert test-attacks test-c coverage \
	benchmark docs notebooks lint format clean help
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
CONVERT_INSTALLED := $(VENV)/.convert-installed
LINT_INSTALLED := $(VENV)/.lint-installed

help:
	@echo "make demo            train a binary ReActNet on embedded images"
	@echo "make test            the tests"
	@echo "make test-slow       the tests that take longer"
	@echo "make test-notebooks  the notebooks from top to bottom"
	@echo "make test-models     every model at full size: OpenVINO, LCE, C, SavedModel"
	@echo "make test-convert    the tests of PyTorch's files, which install PyTorch"
	@echo "make test-attacks    attacks on runs: kills, full disks, bad files"
	@echo "make test-c          exported C on emulated machines (see CONTRIBUTING.md)"
	@echo "make coverage        which lines of zoo and training the tests run"
	@echo "make benchmark       latency of all models; the machine should do nothing else"
	@echo "make docs            the documentation, into site/"
	@echo "make notebooks       run the notebooks and keep what they give"
	@echo "make lint            ruff and mypy"
	@echo "make clean           remove .venv and caches"

demo: $(INSTALLED)
	$(VENV)/bin/lqz train Demo

# A tier of the tests; with RECORD=1 the commit on which it passed is kept.
TIER = $(PYTHON) -m tools.run_tests $(if $(RECORD),--record)

test: $(INSTALLED)
	$(TIER) default

test-slow: $(INSTALLED)
	$(TIER) slow

test-notebooks: $(INSTALLED)
	$(TIER) notebooks

test-models: $(INSTALLED)
	$(TIER) models

test-convert: $(CONVERT_INSTALLED)
	$(TIER) import

test-attacks: $(INSTALLED)
	$(TIER) attacks

test-c: $(INSTALLED)
	$(TIER) "C targets"

coverage: $(INSTALLED)
	$(PYTHON) -m pip install --quiet "coverage>=7.10"
	$(PYTHON) -m coverage run -m tools.run_tests default
	$(PYTHON) -m coverage combine --quiet
	$(PYTHON) -m coverage report --skip-covered --show-missing

benchmark: $(INSTALLED)
	$(VENV)/bin/lqz benchmark --all weights=none --threads 1,2 --per-layer \
		--json results/latency.json --csv results/latency.csv
	$(PYTHON) -m benchmarks.async_queue ReActNetA --seconds 60 --threads 2
	$(PYTHON) -m tools.update_tables

docs: $(INSTALLED)
	$(PYTHON) -m mkdocs build --strict

notebooks: $(INSTALLED)
	$(PYTHON) -m tools.run_notebooks

lint: $(LINT_INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(LINT_INSTALLED)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache

# The first of these interpreters that is 3.10, 3.11 or 3.12; PYTHON3=/path/to/python3 overrides.
PYTHON3 ?= $(shell for p in python3.11 python3.12 python3.10 python3 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
	2>/dev/null && echo $$p && break; done)

$(INSTALLED): setup.py pyproject.toml
	@test -n "$(PYTHON3)" || { echo "Python 3.10, 3.11 or 3.12 with venv is needed; name it with make PYTHON3=/path/to/python3." >&2; exit 2; }
	test -x $(PYTHON) || $(PYTHON3) -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --upgrade pip
	$(PYTHON) -m pip install --quiet --editable '.[test]'
	@touch $@

# This very version, of which pip takes a build for the CPU alone where it is told of one (by
# PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL or its own configuration); else it is a large download.
TORCH ?= torch==2.13.0

$(CONVERT_INSTALLED): $(INSTALLED)
	$(PYTHON) -m pip install --quiet '$(TORCH)'
	$(PYTHON) -m pip install --quiet --editable '.[convert]'
	@touch $@

$(LINT_INSTALLED): $(INSTALLED)
	$(PYTHON) -m pip install --quiet --editable '.[lint]'
	@touch $@
