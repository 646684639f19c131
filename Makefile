# Everything runs in one virtual environment in the checkout, which each target sets up, or finds ready, by itself.
#   make demo PYTHON=/path/to/python        uses an environment of yours as it is and installs nothing
#   make venv BASE_PYTHON=/path/to/python   makes the environment from this Python (3.10 to 3.12)
#   make venv STACK=classic                 the original OpenMMLab distributions, Python 3.10, in .venv-classic
#   PIP_FIND_LINKS=FOLDER make venv         saves compiling mmcv where FOLDER has a wheel of it
#   make test WORKERS=0                     runs the tests in one process (default: two)
SHELL := /bin/bash
STACK ?= onedl
PYTEST_ARGS ?=
# The tests' models are tiny: two processes of one thread, each file in one of them.
WORKERS ?= 2
PYTEST = OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(1) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=10

# Only `make TARGET PYTHON=...` counts: some machines export PYTHON for purposes of their own.
ifeq ($(origin PYTHON),command line)
override RUN := PYTHONPATH="$(CURDIR)$${PYTHONPATH:+:$$PYTHONPATH}" "$(PYTHON)"
READY = $(RUN) .dev_scripts/setup_env.py --check --for
else
VENV := $(if $(filter classic,$(STACK)),.venv-classic,.venv)
override RUN := $(VENV)/bin/python
READY = "$(or $(BASE_PYTHON),python3)" .dev_scripts/setup_env.py --stack $(STACK) --base-python "$(BASE_PYTHON)" --for
endif

.DEFAULT_GOAL := help
.PHONY: help venv resolve demo demo-quick experiment benchmark gpu-check test test-slow test-torture test-classic lint format docs clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile
	@sed -n 's/^#   //p' Makefile

venv: ## set up the environment (minutes the first time, a second when all is there)
	@$(READY) demo

demo: ## from unlabeled images to classifier, detector and segmenter, on embedded images: minutes, nothing to download
	@$(READY) demo
	@$(RUN) tools/chain.py configs/chains/img2vec_shapes.py $(ARGS)

demo-quick: ## the same on a sixth of the images: that it runs, not what it is worth
	@$(READY) demo
	@$(RUN) tools/chain.py configs/chains/img2vec_shapes-quick.py $(ARGS)

experiment: ## the demo over several seeds; resumable (options: ARGS="CHAIN --seeds 0 1 2")
	@$(READY) demo
	@$(RUN) tools/experiment.py $(ARGS)

benchmark: ## time training steps in turns, MAE as mmpretrain ships it among them (options: ARGS="mae img2vec --memory")
	@$(READY) demo
	@$(RUN) .dev_scripts/benchmark.py $(ARGS)

gpu-check: ## on a GPU: operators, a step of everything, speed, memory, waits; ten minutes (options: ARGS="...")
	@$(READY) test
	@$(RUN) .dev_scripts/gpu_check.py $(ARGS)

resolve: ## whether the pinned versions go together, for each Python (asks the package index)
	@$(READY) test
	@$(RUN) .dev_scripts/setup_env.py --resolve --stack $(STACK)

test: lint ## lint, then the test suite without the slow tests (options: PYTEST_ARGS="-k name")
	@$(call PYTEST,$(RUN)) -m "not slow" $(PYTEST_ARGS)

test-slow: ## the slow tests
	@$(READY) test
	@$(RUN) -m pytest -m slow --durations=10 $(PYTEST_ARGS)

test-torture: ## kill, signal, starve and poison real runs, a table of what held (options: ARGS="--kills 50 --only NAME")
	@$(READY) test
	@$(RUN) .dev_scripts/torture.py $(ARGS)

test-classic: ## the test suite on the original OpenMMLab distributions (needs a Python 3.10)
	@$(MAKE) --no-print-directory venv STACK=classic
	@$(call PYTEST,.venv-classic/bin/python) -m "not slow" $(PYTEST_ARGS)

lint: ## style, docstrings, layers and types (half a minute)
	@$(READY) test
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -c 'from importlinter.cli import lint_imports_command as run; run()'
	@$(RUN) -m mypy

format: ## bring the style in order
	@$(READY) test
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

docs: ## build the documentation, any warning being an error, and say where it is
	@$(READY) test
	@$(RUN) -m sphinx -W --keep-going -q docs build/docs
	@echo "the documentation: $(CURDIR)/build/docs/index.html"

clean: ## remove caches and build products (environments, data and work_dirs stay)
	@rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache *.egg-info
	@find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +
