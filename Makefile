# Every target works on a machine with Python 3.11 or later and nothing else.
PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.installed
RUNS := logs

.DEFAULT_GOAL := help
.PHONY: help setup crf eyes demo demo-multimodal test test-slurm lint type fmt bench wandb-sync lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(SETUP) ## make .venv with the exact versions of requirements.lock

$(SETUP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "fovea needs Python 3.11 or later: make PYTHON=python3.11 setup")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

crf: setup ## add pydensecrf2, to compare our dense CRF with (needs a C++ compiler)
	$(BIN)/uv pip install --python $(BIN)/python "pydensecrf2>=1.1"

eyes: setup ## add pymovements, to find fixations in samples of gaze
	$(BIN)/uv pip install --python $(BIN)/python "pymovements>=0.28"

demo: setup ## the main job end to end on generated data, under 3 minutes
	$(BIN)/python examples/demo.py

demo-multimodal: setup ## two modalities, few labels, end to end on generated volumes, under 3 minutes
	$(BIN)/python examples/demo_multimodal.py

test: setup ## the test suite, but for the tests on SLURM
	$(BIN)/python -m pytest -n 2 --dist worksteal -q --ignore tests/slurm

test-slurm: setup ## the tests on a SLURM of two nodes that they start (needs slurm-wlm and munge)
	$(BIN)/python -m pytest -q tests/slurm

lint: setup ## ruff (format and check) and the type checker
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

type: setup ## the type checker alone
	$(BIN)/mypy

fmt: setup ## format and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## the benchmarks, each against a plain baseline in the same run
	@for script in benchmarks/[!_]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

wandb-sync: setup ## upload what was recorded for Weights & Biases offline, in all run folders of RUNS=logs
	@find -L "$(RUNS)" -type f -path '*/wandb/offline-run-*/run-*.wandb' | sort | while IFS= read -r run; do \
		test -e "$$run.synced" || $(BIN)/wandb sync "$$(dirname "$$run")" || exit 1; done

lock: ## resolve requirements.lock anew (hashes, no index addresses)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --extra dev --extra docs pyproject.toml -o requirements.lock

clean: ## remove what can be made again (data/ and logs/ stay)
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache dist build
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
