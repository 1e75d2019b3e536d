# Two commands for a stranger: `make demo` and `make test`. Each works alone, with Python 3.11 and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= demo

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
	$(BIN)/python -m pytest

slow: install
	$(BIN)/python -m pytest -m slow

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
