# Every target works as root and as an ordinary user, from any path, twice in a row.
SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST_ARGS ?=
# Learned codecs bring torch, which nothing else needs.
LEARNED_VENV := .venv-learned
LEARNED_STAMP := $(LEARNED_VENV)/.installed
LEARNED_STUDY := .test-artifacts/learned

export PIP_DISABLE_PIP_VERSION_CHECK = 1
# `make test DATABASE_URL=postgresql://...` runs the suite on another Postgres.
export MATCHRATE_TEST_DATABASE_URL = $(DATABASE_URL)

.PHONY: help install demo test check lint types floors pytest browser campaign-coverage bench bench-matching campaign-matching campaign-codecs lock lock-learned learned images clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## make .venv and install everything into it

# Programs in .venv/bin hold its path, so a clone that was moved gets a new one.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Matchrate needs Python 3.11 or later; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq python3-venv; } \
	  || { echo "This Python lacks the venv module; on Debian or Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	@echo "Installing into $(VENV): about a minute."
	@[ -f $(STAMP) ] && [ "$$(cat $(STAMP))" != "$(CURDIR)" ] && rm -rf $(VENV) || true
	@[ -x $(BIN)/python ] && $(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@printf '%s\n' "$(CURDIR)" > $(STAMP)

demo: $(STAMP) ## install all, run the demo study and keep serving it (ONCE=1: do all that, then stop)
	@exec $(BIN)/python -m study_app demo $(if $(ONCE),--once,)

test: $(STAMP) browser ## install all and run every check and test
	@$(MAKE) --no-print-directory check

check: lint types floors pytest ## ruff, mypy, import-linter and pytest in the installed .venv

lint: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: $(STAMP)
	$(BIN)/python -m mypy

floors: $(STAMP)
	$(BIN)/lint-imports

pytest: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

browser: $(STAMP) ## find Debian's chromium, else install one
	$(BIN)/python tests/browser/chromium.py

campaign-coverage: $(STAMP) ## how often intervals cover the truth: the long run behind docs/coverage.md
	$(BIN)/python benchmarks/coverage.py --seeds 200 --judgments 20000 --sources 40 --raters 57
	$(BIN)/python benchmarks/coverage.py --seeds 200 --judgments 20000 --sources 40 --raters 200
	$(BIN)/python benchmarks/coverage.py --seeds 200 --judgments 20000 --sources 24 --raters 60
	$(BIN)/python benchmarks/coverage.py --seeds 200 --judgments 7000 --source-effect 60 --rater-effect 60

bench: $(STAMP) ## the bootstrap beside loops over choix, in one run
	$(BIN)/python benchmarks/bootstrap.py

bench-matching: $(STAMP) ## what the search for a bitrate costs and how near it comes, for every codec (ARGS=--fast: sooner)
	$(BIN)/python benchmarks/matching.py $(ARGS)

campaign-matching: $(STAMP) ## every wheel codec in one study, encoded on several processes and on one: half an hour or more
	$(BIN)/python benchmarks/wheel_codecs.py $(ARGS)

campaign-codecs: $(STAMP) ## published reconstructions (RECONSTRUCTIONS=DIR) and every wheel codec to a BD-rate table
	$(BIN)/python benchmarks/codec_study.py "$(RECONSTRUCTIONS)" $(ARGS)

lock: $(STAMP) ## pin again what the tests run with (uv from the registry pip is set up for)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --extra test --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url pyproject.toml -o requirements.lock

# CompressAI refuses NumPy 2 in its metadata only: see requirements-learned.in.
lock-learned: $(STAMP) ## pin again what `make learned` adds; wants a CPU build of torch where pip finds it
	$(BIN)/python -m pip install --quiet uv
	printf 'numpy>=2\n' > $(VENV)/learned-overrides.txt
	$(BIN)/python -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --constraints requirements.lock \
	  --overrides $(VENV)/learned-overrides.txt $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS)) \
	  $$(sed -n 's/^\([A-Za-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock | sort -u) --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links requirements-learned.in -o requirements-learned.lock

ifneq ($(shell cat $(LEARNED_STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(LEARNED_STAMP)
endif

$(LEARNED_STAMP): pyproject.toml requirements.lock requirements-learned.lock
	@echo "Installing into $(LEARNED_VENV): some minutes, 2.4 GB."
	@[ -f $(LEARNED_STAMP) ] && [ "$$(cat $(LEARNED_STAMP))" != "$(CURDIR)" ] && rm -rf $(LEARNED_VENV) || true
	@[ -x $(LEARNED_VENV)/bin/python ] || $(PYTHON) -m venv $(LEARNED_VENV)
	$(LEARNED_VENV)/bin/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(LEARNED_VENV)/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements-learned.lock \
	  || { echo "The CPU build of torch that requirements-learned.lock pins was not found; docs/learned.md says where it is."; exit 1; }
	$(LEARNED_VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@printf '%s\n' "$(CURDIR)" > $(LEARNED_STAMP)

learned: $(LEARNED_STAMP) ## learned codecs: install CompressAI apart, train a tiny network, run a study and their tests
	rm -rf $(LEARNED_STUDY)
	$(LEARNED_VENV)/bin/python benchmarks/learned.py $(LEARNED_STUDY)
	$(LEARNED_VENV)/bin/python -m pytest tests/learned $(PYTEST_ARGS)

images: $(STAMP) browser ## make the README's pictures again from the demo study
	$(BIN)/python docs/make_images.py

clean: ## remove .venv and caches, and keep every study
	rm -rf $(VENV) $(LEARNED_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .test-artifacts
