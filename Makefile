# The commands that README.md names. They run in .venv, made on first use from the system's python3, or in an
# environment of your own that has kt_ext[dev] and a Keras backend:  make test PYTHON=/path/to/python
VENV = .venv
DOCS_VENV = .venv-docs
PYTHON = $(VENV)/bin/python
INSTALLED = $(if $(filter $(VENV)/bin/python,$(PYTHON)),$(VENV)/.installed)

.PHONY: demo test tfx docs lint format build clean

demo: $(INSTALLED)
	$(PYTHON) examples/digits_asha.py

# Three at once on two cores: many tests wait for processes, leases, sockets.
test: $(INSTALLED)
	$(PYTHON) -m pytest -n 3 --dist loadfile

# A pipeline of TFX, which gets an environment of its own: 3 GB, Python 3.10. Needs uv (pip install uv), which finds the
# versions that go together in seconds, where pip looks for them for more than a quarter of an hour.
tfx: .venv-tfx/.installed
	.venv-tfx/bin/python -m pytest -m tfx tests/integrations

# The site, into build/site. It reads the sources and imports nothing of them: its environment has no Keras.
docs: $(DOCS_VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/python -m mkdocs build --strict

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
	rm -rf $(VENV) .venv-tfx $(DOCS_VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

# The stamp is written last, so an install that was interrupted is done again.
$(VENV)/.installed: setup.cfg
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable ".[tensorflow-cpu,dev]"
	touch $@

# Later versions of Apache Beam no longer bring dill, which TFX 1.16 imports. --seed: TFX calls pip for the module file.
.venv-tfx/.installed: setup.cfg
	uv venv --python 3.10 --seed --clear .venv-tfx
	uv pip install --python .venv-tfx/bin/python tfx==1.16.0 "apache-beam[gcp]==2.59.0" six cryptography pytest
	uv pip install --python .venv-tfx/bin/python --no-deps --editable .
	touch $@

# What the extra "docs" asks for, without what kt_ext itself needs.
$(DOCS_VENV)/.installed: setup.cfg
	python3 -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -c 'from configparser import RawConfigParser as R; c = R(); c.read("setup.cfg"); \
	    print(c["options.extras_require"]["docs"])' > $(DOCS_VENV)/requirements.txt
	$(DOCS_VENV)/bin/python -m pip install --quiet -r $(DOCS_VENV)/requirements.txt
	touch $@
