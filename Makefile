# The commands that README.md names. They run in .venv, made on first use from the system's python3, or in an
# environment of your own that has kt_ext[dev] and a Keras backend:  make test PYTHON=/path/to/python
VENV = .venv
PYTHON = $(VENV)/bin/python
INSTALLED = $(if $(filter $(VENV)/bin/python,$(PYTHON)),$(VENV)/.installed)

.PHONY: demo test lint format build clean

demo: $(INSTALLED)
	$(PYTHON) examples/digits_asha.py

test: $(INSTALLED)
	$(PYTHON) -m pytest -n 2 --dist loadfile

lint: $(INSTALLED)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy kt_ext

format: $(INSTALLED)
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

build: $(INSTALLED)
	rm -rf dist
	$(PYTHON) -m build
	$(PYTHON) -m twine check --strict dist/*

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

# The stamp is written last, so an install that was interrupted is done again.
$(VENV)/.installed: setup.cfg
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable ".[tensorflow-cpu,dev]"
	touch $@
