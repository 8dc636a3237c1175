# Everything runs in .venv, made from requirements.txt. Only Python 3.11 or newer and Make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Each process starts a Kafka and a Redis of its own (about 1 GB).
TEST_PROCESSES := 2

.PHONY: setup demo test quality lint format type docs lock clean chaos fuzz bench soak

setup: $(READY)

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "streamscore needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: $(READY)
	$(BIN)/streamscore demo $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

quality: $(READY)
	$(BIN)/streamscore quality $(if $(DATA),--data $(DATA)) $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: $(READY)
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build
	@echo "docs/_build/index.html"

lock:
	uv pip compile --universal --python-version 3.11 --all-extras --no-emit-index-url --no-annotate --no-header --upgrade --quiet pyproject.toml --output-file requirements.txt

clean:
	rm -rf $(VENV) docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Faults in seeded rounds on a Kafka and a Redis of their own, then the product broken on purpose.
ROUNDS ?= 50
SEED ?= 1
chaos: $(READY)
	$(BIN)/python -m chaos rounds --rounds $(ROUNDS) --seed $(SEED) $(ARGS); rounds=$$?; \
	$(BIN)/python -m chaos mutations --seed $(SEED) && exit $$rounds

RECORDS ?= 200000
fuzz: $(READY)
	$(BIN)/python -m chaos fuzz --records $(RECORDS) --seed $(SEED)

bench: $(READY)
	$(BIN)/python benchmarks/bench.py $(ARGS)

soak: $(READY)
	$(BIN)/python benchmarks/soak.py $(ARGS)
