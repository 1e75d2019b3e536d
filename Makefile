# Two commands for a stranger: `make demo` and `make test`. Each works alone, with Python 3.11 and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= demo
# A process per core, a file of tests to one of them.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: demo test slow lint bench install clean

install: $(VENV)/installed

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

demo: install
	$(BIN)/crisp demo --out $(OUT)

test: install
	$(PYTEST)

slow: install
	$(PYTEST) -m slow

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python -m benchmarks.registration
	$(BIN)/python -m benchmarks.meshing
	$(BIN)/python -m benchmarks.shape_qp
	$(BIN)/python -m benchmarks.correct_cost
	$(BIN)/python -m benchmarks.scoring
	$(BIN)/python -m benchmarks.adapt_cost

clean:
	rm -rf $(VENV) $(OUT)
