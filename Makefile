# Every target sets up what it needs in .venv by itself; a second run finds it ready. `make help` lists them.
#
#   PYTHON=...   the Python to make .venv with (default: the newest of 3.13, 3.12, 3.11 that runs here)
#   ARGS=...     more arguments for pytest, Sphinx or the benchmarks

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: demo test soak lint style types layers docs bench bench-peers clean help

ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
REQUIREMENTS := requirements
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
INSTALL := $(PIP) install -c $(REQUIREMENTS)/constraints.txt

demo: $(STAMPS)/app ## Build the example business, print its report and serve it (FRESH=1, PORT=8000, SERVE=0)
	@FRESH="$(FRESH)" PORT="$(PORT)" SERVE="$(SERVE)" $(BIN)/python example/manage.py demo

test: $(STAMPS)/test $(STAMPS)/drivers ## Run the tests on SQLite, and on PostgreSQL and MariaDB when they answer
	@$(BIN)/python -m tests.databases $(ARGS)

soak: $(STAMPS)/test $(STAMPS)/drivers ## Write, and run the schedule, from processes that are killed for minutes, and count (ARGS="--seed 7")
	@$(BIN)/python -m tests.soak $(ARGS)

lint: style types layers ## Style, types and layers: ruff, mypy --strict, import-linter (`make -k lint`: all three)

style: $(STAMPS)/lint
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check .

types: $(STAMPS)/lint
	$(BIN)/mypy

layers: $(STAMPS)/lint
	$(BIN)/lint-imports

docs: $(STAMPS)/docs ## Build the documentation into docs/_build/html; a warning is an error
	$(BIN)/sphinx-build -q -W --keep-going -b html $(ARGS) docs docs/_build/html
	@echo "docs: open docs/_build/html/index.html"

bench: $(STAMPS)/bench $(STAMPS)/drivers ## Measure what capture, sweeping and recording cost, against plain Django and SQL
	@$(BIN)/python -m benchmarks $(ARGS)

bench-peers: $(STAMPS)/bench $(STAMPS)/drivers ## Measure it beside django-pghistory, simple-history, auditlog and FieldTracker
	@$(BIN)/python -m benchmarks.peers $(ARGS)

clean: ## Remove the environments, the builds, the caches and the example's database
	rm -rf $(VENV) .venv-matrix build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache
	rm -f example/*.sqlite3 example/*.sqlite3-*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then python=$$(scripts/pythons first) || python=""; fi; \
	if [ -z "$$python" ]; then \
	    echo "make: no Python >= 3.11 was found on PATH or under ~/.pyenv/versions." >&2; \
	    echo "      Install one (https://www.python.org/downloads/), or name yours: make PYTHON=/path/to/python3.12 ..." >&2; \
	    exit 1; \
	fi; \
	if ! "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	    echo "make: PYTHON=$$python is not a Python >= 3.11 that runs. Name another: make PYTHON=/path/to/python3.12 ..." >&2; \
	    exit 1; \
	fi; \
	echo "make: $(VENV) is made with $$("$$python" --version) ($$python)"; \
	"$$python" -m venv $(VENV) || { \
	    rm -rf $(VENV); \
	    echo "make: $$python could not make a virtual environment; Debian and Ubuntu want the package python3-venv." >&2; \
	    exit 1; \
	}

# The package itself, editable, and Django: all that the demo needs.
$(STAMPS)/app: pyproject.toml $(REQUIREMENTS)/constraints.txt | $(BIN)/python
	@echo "make: installing the app and Django"
	@$(INSTALL) -e .
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/test $(STAMPS)/lint $(STAMPS)/docs $(STAMPS)/bench: $(STAMPS)/%: $(REQUIREMENTS)/%.txt $(STAMPS)/app
	@echo "make: installing $<"
	@$(INSTALL) -r $<
	@mkdir -p $(STAMPS) && touch $@

# mypy reads the tests too, so linting wants their packages as well.
$(STAMPS)/lint: $(STAMPS)/test

# A database driver that can't be installed leaves its database out; it does not stop the others.
$(STAMPS)/drivers: $(wildcard $(REQUIREMENTS)/driver-*.txt) $(STAMPS)/app
	@failed=0; for driver in postgresql mariadb; do \
	    echo "make: installing $(REQUIREMENTS)/driver-$$driver.txt"; \
	    if ! $(INSTALL) -r $(REQUIREMENTS)/driver-$$driver.txt >$(VENV)/driver-$$driver.log 2>&1; then \
	        failed=1; \
	        echo "make: the driver of $$driver could not be installed ($(VENV)/driver-$$driver.log), so it is left out."; \
	    fi; \
	done; \
	mkdir -p $(STAMPS); if [ $$failed = 0 ]; then touch $@; fi
