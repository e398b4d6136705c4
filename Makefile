# Set-up and the two commands of the README. Everything lives in .venv; nothing outside this folder is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo rehearsal-demo test docs lint format clean

demo: $(STAMP)
	$(BIN)/python cli.py demo --overwrite

# A real server of a small language model on this CPU, started, rehearsed and stopped (docs/how-to/rehearsal.md).
rehearsal-demo: $(STAMP)
	$(BIN)/python benchmarks/rehearsal_demo.py

# Both workers, and the processes that tests start, read each module's bytecode, which the environment may forbid to write.
test: $(STAMP)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist worksteal

# Into build/docs; open build/docs/index.html. A link that leads nowhere ends it.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# torch is installed on its own first, so that its pinned version decides and no other package pulls in another build.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) build *.egg-info
