# One target each; `make run` and `make test` are all a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin
export PORT ?= 8000
# What is compiled is kept, whatever the environment says: tests start the product a hundred times.
export PYTHONDONTWRITEBYTECODE =

.PHONY: run test demo lint bench fuzz pressure pictures lock clean

run: .venv/run
	@$(BIN)/python -m valohai_registries.first_env
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py collectstatic --noinput --verbosity 0
	@$(BIN)/python manage.py first_start
	@exec $(BIN)/gunicorn valohai_registries.wsgi

# Two processes more than two cores: many tests wait, as for a registry that doesn't answer.
SPREAD := -n 4 --dist loadfile --no-loadscope-reorder
# The fleet tests run by themselves: they start hundreds of threads and measure seconds.
test: .venv/dev
	$(BIN)/python -m pytest $(SPREAD) --ignore tests/fleet
	$(BIN)/python -m pytest tests/fleet
	TEST_DATABASE=postgresql $(BIN)/python -m pytest $(SPREAD) --ignore tests/fleet
	TEST_DATABASE=postgresql $(BIN)/python -m pytest tests/fleet

demo: .venv/dev
	@$(BIN)/python -m examples.demo

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/djlint templates --check --lint
	$(BIN)/lint-imports
	DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python manage.py makemigrations --check --dry-run
	DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python manage.py check --fail-level ERROR --deploy
	$(BIN)/python -m tests.support.audit

bench: .venv/dev
	$(BIN)/python -m bench

# Files, valohai.yaml, bodies and query strings that nobody should send; no 500, and nothing
# beyond proportion. COUNT of each kind; SEED makes the same ones again.
COUNT ?= 100000
SEED ?= 1
fuzz: .venv/dev
	for part in files yaml bodies queries; do \
	  $(BIN)/python -m fuzz $$part --count $(COUNT) --seed $(SEED) || exit 1; \
	done

# One organization's logins beside another that is trouble; `make pressure LOADS="files tabs"`.
pressure: .venv/dev
	$(BIN)/python -m bench.pressure $(LOADS)

pictures: .venv/dev
	$(BIN)/python -m pictures

# After a change of requirements*.in, with uv at hand: what is pinned already stays as it is.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --annotation-style line
lock:
	$(LOCK) requirements.in -o requirements.txt
	$(LOCK) requirements-saml.in -o requirements-saml.txt
	$(LOCK) requirements-dev.in -o requirements-dev.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache var/static

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed.")'
	@echo "Setting up .venv, once; this takes about half a minute."
	@$(PYTHON) -m venv .venv

.venv/run: .venv/bin/python requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/dev: .venv/run requirements-dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
