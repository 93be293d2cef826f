# Everything one does with this project. `make help` lists it. Works with GNU make 3.81 (macOS).
PYTHON ?= python3
# Options for pip in the set-up, for example an index that holds the CPU build of PyTorch.
PIP_OPTIONS ?=
PORT ?= 8000

# The networks are small: one thread is as fast as two, and threads that wait by spinning slow each other down.
export OMP_NUM_THREADS ?= 1
export NUMBA_NUM_THREADS ?= 1

VENV := .venv
PY := $(VENV)/bin/python
SETUP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup book test lint format gpu-check notebooks notebooks-check colab-check address constraints serve clean

help:  ## list these targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## */|/' | awk -F'|' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(SETUP)  ## make .venv with the pinned packages (the other targets do it when needed)

$(SETUP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "cellmnn-edu needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1)."; \
	  echo "Name a newer one, for example: make book PYTHON=python3.12"; exit 1; }
	@if [ -x $(PY) ] && ! $(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then rm -rf $(VENV); fi
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet $(PIP_OPTIONS) -c constraints.txt -e '.[book,test]'
	@touch $@

book: $(SETUP)  ## execute every chapter and build the site; says where to open it
	@$(PY) book/_ext/build.py

test: book  ## run all tests, on the current site
	@$(PY) -m pytest -n 2 --dist worksteal; status=$$?; $(PY) tests/browser.py; exit $$status

lint: $(SETUP)  ## check style and formatting
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(SETUP)  ## mend style and formatting
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

gpu-check: $(SETUP)  ## compare a GPU with the CPU and store the result; says so where there is no GPU
	@$(VENV)/bin/cellmnn-edu gpu-check

notebooks: $(SETUP)  ## make the student notebooks again from the chapters and assignments, and the guide's table
	$(PY) -m cellmnn_edu.coursework.release
	$(PY) -m cellmnn_edu.coursework.coverage

# The solutions of the chapters run in `make book`; those of the assignments run here.
notebooks-check: $(SETUP)  ## run each student notebook, and solved assignment, alone and without a network
	$(PY) -m cellmnn_edu.coursework.release _build/solved
	$(PY) tests/run_notebook.py book/notebooks/*.ipynb $$(find _build/solved -name '*.ipynb' | sort)

colab-check: $(SETUP)  ## the same with Google Colab's packages and a wheel of this tree (needs the package index)
	$(PY) tests/colab_check.py

address: $(SETUP)  ## carry the address in _config.yml to every file that names it
	$(PY) -m cellmnn_edu.coursework.address
	$(PY) -m cellmnn_edu.coursework.release

# A fresh environment with the newest versions that fit together; then run `make test` before committing the pins.
constraints:  ## refresh the exact pins (needs the package index)
	rm -rf _build/pins && $(PYTHON) -m venv _build/pins
	_build/pins/bin/python -m pip install --quiet $(PIP_OPTIONS) -e '.[book,test]'
	_build/pins/bin/python -m pip freeze --exclude-editable --exclude pip --exclude setuptools \
	  | sed -E 's/\+[^ ;]*//' > constraints.txt
	rm -rf _build/pins

serve: book  ## show the site at http://127.0.0.1:8000 (PORT=... for another port)
	@echo "Serving on http://127.0.0.1:$(PORT) (stop with Ctrl-C)"
	@$(PY) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

clean:  ## remove what was built; keep the set-up (`rm -rf .venv` removes that too)
	rm -rf _build build dist .pytest_cache .ruff_cache .hypothesis
