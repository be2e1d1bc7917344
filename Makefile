# The README's commands. Everything happens in a virtual environment of the checkout.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INTEROP_FLAGS ?=

.PHONY: help demo test coverage lint draft liboqs interop bench clean
help:
	@echo "make demo     make a CA, start the responder, enrol a client, show every message"
	@echo "make test     formatting, types and all tests"
	@echo "make coverage the tests, and which lines they do not reach; takes half as long again"
	@echo "make draft    render the Internet-Draft to build/draft: text, HTML, XML; check it with idnits"
	@echo "make liboqs   build the C library of the second ML-KEM backend, once"
	@echo "make interop  install the peers (strongSwan, certmonger, micromdm, step-ca, jscep) and run them against us"
	@echo "make bench    enrolments per second next to micromdm's scepserver"

$(VENV)/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,bench,oqs]'
	@touch $@

demo: $(VENV)/ready
	$(BIN)/python -m scep_kem.demo

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest --numprocesses auto

coverage: $(VENV)/ready
	$(BIN)/python -m pytest --numprocesses auto --cov --cov-report=term:skip-covered

draft: $(VENV)/ready
	$(BIN)/python -m drafts build

liboqs: $(VENV)/ready
	$(BIN)/python -m interop.liboqs.build

interop: $(VENV)/ready
	$(BIN)/python -m interop install
	$(BIN)/python -m interop $(INTEROP_FLAGS)

bench: $(VENV)/ready
	$(BIN)/python -m interop install --only scepclient
	$(BIN)/python -m interop.bench

clean:
	rm -rf $(VENV) .cache build *.egg-info
