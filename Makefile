PYTHON ?= python3
BIN = .venv/bin
PIP = $(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes
SOURCES = app.py accounts.py answers.py assets.py cli.py db.py embedded.py live.py security.py serve.py sessions.py settings.py words.py tools tests benchmarks

.PHONY: run test check format bench screenshots messages vendor lock clean

run: .venv/.run
	@exec $(BIN)/python serve.py

test: .venv/.browser
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

check: .venv/.dev
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy $(SOURCES)

format: .venv/.dev
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet

# Some alone: make bench SUBJECTS="viewers burst"; the other sections of RESULTS.md stay.
bench: .venv/.browser
	$(BIN)/python -m benchmarks $(SUBJECTS)

screenshots: .venv/.browser
	$(BIN)/python -m tools.screenshots

messages: .venv/.dev
	$(BIN)/python -m tools.messages

vendor:
	$(PYTHON) tools/vendor.py

# Resolves the newest allowed versions for every platform, with their hashes.
lock: .venv/.dev
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" requirements.in --output-file requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" requirements-dev.in --output-file requirements-dev.txt

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .coverage*

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
	@$(BIN)/python -m tests.chromium
	@touch $@
