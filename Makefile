PYTHON ?= python3
BIN = .venv/bin
EXAMPLES ?= 100000
PIP = $(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"

.PHONY: run test browsers check format bench soak screenshots messages vendor lock clean help

run: .venv/.run  ## serve Roster on http://127.0.0.1:8000 (settings: .env.example)
	@exec $(BIN)/python serve.py

test: .venv/.browser  ## run all tests, in a real PostgreSQL and a real Chromium
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 4
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

browsers: .venv/.engines  ## run the main flows in Firefox and in WebKit too (Debian's, installed as root)
	$(BIN)/python -m pytest -n 2 tests/engines

check: .venv/.dev  ## check the format, the code style and the types
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy .

format: .venv/.dev  ## format the code
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet

bench: .venv/.bench  ## measure, and write benchmarks/RESULTS.md; some parts alone: SUBJECTS="viewers burst"
	$(BIN)/python -m benchmarks $(SUBJECTS)

soak: .venv/.dev  ## run under load for 30 minutes, with a fault a minute; draw docs/soak.svg. Shorter: MINUTES=3
	@$(BIN)/python -m tools.soak $(MINUTES)
	EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -q --timeout=0 tests/faults/test_hostile_input.py

screenshots: .venv/.browser  ## take a picture of every state of the page, into docs/screenshots
	$(BIN)/python -m tools.screenshots

messages: .venv/.dev  ## bring the translations up to date with the code and the templates
	$(BIN)/python -m tools.messages

vendor:  ## fetch the browser's libraries with npm
	$(PYTHON) tools/vendor.py

lock: .venv/.dev  ## resolve the newest allowed packages, with their hashes
	$(COMPILE) --upgrade requirements.in --output-file requirements.txt
	$(COMPILE) --upgrade requirements-dev.in --output-file requirements-dev.txt
	$(COMPILE) --upgrade benchmarks/requirements.in --output-file benchmarks/requirements.txt

clean:  ## remove .venv and all caches; the data stays
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .coverage*

help:  ## show these lines
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamps below are what makes the second run quick: each is made again only when its list changed.
# umask: the embedded PostgreSQL does not run as root, so its files must be readable for others.
.venv/.made:
	@$(PYTHON) -c 'import sys; v = sys.version_info; v < (3, 11) and sys.exit("Roster needs Python 3.11 or newer, and $(PYTHON) is %d.%d. Name a newer one: make run PYTHON=python3.12" % v[:2])'
	@echo "Setting up .venv (once; this takes a minute)"
	@umask 022 && $(PYTHON) -m venv .venv
	@touch $@

.venv/.run: .venv/.made requirements.txt
	@umask 022 && $(PIP) -r requirements.txt
	@touch $@

.venv/.dev: .venv/.run requirements-dev.txt
	@umask 022 && $(PIP) -r requirements-dev.txt
	@touch $@

.venv/.browser: .venv/.dev
	@$(BIN)/python -m tools.programs
	@touch $@

.venv/.engines: .venv/.dev
	@$(BIN)/python -m tools.engines
	@touch $@

.venv/.bench: .venv/.browser benchmarks/requirements.txt
	@umask 022 && $(PIP) -r benchmarks/requirements.txt
	@$(BIN)/python -m tools.benchmark_programs
	@touch $@
