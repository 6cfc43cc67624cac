# Python 3.11 or newer is all that these need: `make benchmark`, `make test`.
PYTHON ?= python3
SUITE ?= quick
VENV := .venv
BIN := $(VENV)/bin

# cuda where there is an NVIDIA driver; `make DEVICE=cpu` keeps CUDA's gigabytes out there too.
DEVICE ?= $(if $(shell command -v nvidia-smi 2>/dev/null),cuda,cpu)
INFER := $(if $(filter cuda,$(DEVICE)),infer-gpu,infer)
EXTRAS := grid,slurm,$(INFER),benchmark,tracking,train,export,generate,dev,docs
TORCH := $(shell sed -n 's/.*"\(torch==[0-9.]*\)".*/\1/p' pyproject.toml)

.PHONY: benchmark test fuzz lint docs clean

benchmark: $(VENV)/installed
	$(BIN)/python -m benchmarks run $(SUITE)

test: $(VENV)/installed
	$(BIN)/python -m pytest

fuzz: $(VENV)/installed
	$(BIN)/python -m tests.fuzz --cases 10000 --seed 1

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The website of docs/, in site/.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

clean:
	rm -rf $(VENV) site .mypy_cache .pytest_cache .ruff_cache

# Made anew whenever a pin changes or an earlier attempt was interrupted, so it never holds leftovers. Linux's default
# torch brings CUDA; the CPU build lies at PyTorch's own index, from which nothing else is taken.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'error: Python 3.11 or newer is needed, and $(PYTHON) is not; name one: make PYTHON=python3.12' >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
ifeq ($(DEVICE)-$(shell uname -s),cpu-Linux)
	$(BIN)/pip install --quiet --no-deps --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu $(TORCH)+cpu
endif
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@
