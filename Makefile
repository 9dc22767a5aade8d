# The whole vocabulary of a developer. Everything runs in .venv, which `make install` makes.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
DEMO := runs/demo
# Two ranks or two processes on two cores: one thread each keeps tests quick and their sums reproducible.
TEST_ENV := OMP_NUM_THREADS=1 WANDB_MODE=disabled
# Two processes take the files of tests in turn.
TWO := --numprocesses 2 --dist loadfile
# Tests of kernels need torch and triton alone, and none of the other tests' fixtures.
OF_KERNELS := --confcutdir=tests/kernels tests/kernels

.PHONY: install lint types arrows test test-gpu bench-gpu chaos slurm test-all demo demo-separation clean

install: $(VENV)/installed

$(VENV)/installed: setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

arrows: install
	$(BIN)/lint-imports

test: lint types arrows
	$(TEST_ENV) $(BIN)/python -m pytest $(TWO) -m "not kernel and not long and not slurm"
	TRITON_INTERPRET=1 $(TEST_ENV) $(BIN)/python -m pytest $(TWO) $(OF_KERNELS) -m "kernel and not long"

# The same tests of the kernels on a GPU, where they are compiled.
test-gpu: install
	$(TEST_ENV) $(BIN)/python -m pytest $(OF_KERNELS) -m kernel

# Every op on a GPU, against its alternatives; nothing wrong is timed. Adds to bench/gpu.jsonl, which makes the table.
bench-gpu: test-gpu
	$(BIN)/python bench/gpu.py

# Four kills of a run on two ranks; `python bench/chaos.py` has twenty.
chaos: install
	$(TEST_ENV) $(BIN)/python -m pytest -m chaos

# Jobs on clusters of two nodes on this machine: needs root, and Debian's slurm-wlm and munge; says so, and skips, without.
slurm: install
	$(TEST_ENV) $(BIN)/python -m pytest $(TWO) -rs -m slurm

test-all: lint types arrows
	$(TEST_ENV) $(BIN)/python -m pytest -m "not kernel"
	TRITON_INTERPRET=1 $(TEST_ENV) $(BIN)/python -m pytest $(OF_KERNELS) -m kernel

demo: install
	PATH="$(abspath $(BIN)):$$PATH" DEMO=$(DEMO) bench/demo.sh

demo-separation: install
	PATH="$(abspath $(BIN)):$$PATH" DEMO=$(DEMO)-separation bench/demo_separation.sh

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
