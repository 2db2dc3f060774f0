# Two commands on a fresh machine with Python 3.11+ and make:
#   make demo   install, make a sample data set, fine-tune, evaluate, segment, write work_dirs/demo/report.html
#   make test   install, run every test

PYTHON ?= python3
VENV ?= .venv
# A pair that works together; `make TORCH="torch torchvision"` takes the newest, or name the index of your CUDA version.
TORCH ?= torch==2.14.1 torchvision==0.29.1
# The slow tests of the tools come last: a process that has none left takes from the others.
PYTEST_ARGS ?= -n auto --maxprocesses 4 --dist worksteal
BIN := $(VENV)/bin

.PHONY: help install demo test lint doctor clean

help:
	@sed -n '1,3p' Makefile
	@echo "also: make install | lint | doctor | clean"

install: $(VENV)/.installed

$(VENV)/.installed: setup.py pyproject.toml leopart_mm/version.py
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed: make PYTHON=python3.11"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet -e '.[mmcv-lite,mmdet,search,geo,onnx,tests]'
	$(BIN)/python -m leopart_mm.doctor
	touch $@

demo: install
	$(BIN)/python tools/demo.py

# One BLAS thread for each of pytest's processes: more would only fight over the cores.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

lint: install
	$(BIN)/ruff check .

doctor: install
	$(BIN)/python -m leopart_mm.doctor

clean:
	rm -rf $(VENV) work_dirs build dist *.egg-info .pytest_cache .ruff_cache
