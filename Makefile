# A fresh machine needs Python >= 3.11 and make; everything else is fetched into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= auto
# PyTorch for the CPU alone; the index of Python packages may have it with gigabytes of CUDA.
TORCH := --retries 0 --extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0

.PHONY: demo test lint docs golden bench clean

demo: $(VENV)/demo.done  ## the main job on the shipped example
	$(BIN)/python examples/digits/demo.py

test: $(VENV)/test.done  ## every test
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(VENV)/lint.done  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy tinyir tests examples benchmarks

docs: $(VENV)/demo.done  ## write the reference pages anew
	$(BIN)/python -m tinyir.docs

golden: $(VENV)/test.done  ## write the golden files anew; read the diff before you accept it
	$(BIN)/python -m pytest -n $(JOBS) --update-golden

bench: $(VENV)/test.done  ## the table of cycles, memory and size for $(MODELS), exactness checked
	$(BIN)/python benchmarks/inference.py $(if $(MODELS),--models $(MODELS))

$(VENV)/demo.done: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[verify]'
	@touch $@

$(VENV)/test.done: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/demo.done

$(VENV)/lint.done: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/test.done $(VENV)/demo.done

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tinyir needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build dist *.egg-info out
