# Every target that people and scripts rely on. `make help` prints the texts after `##`.
.DEFAULT_GOAL := help
SHELL := /bin/bash

BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/pytest $(ARGS)
# Tests of a file stay together, since what they share is made once, and files in their order: the largest first would
# let the API server meet the CRD by `kubectl apply` before the chart brings it.
WORKERS ?= 2
PARALLEL := $(PYTEST) --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --no-emit-package finetune-api
# What goes into the images, in the versions of the lock. Without reasons: they would rebuild layers that stay the same.
LOCK_IMAGE := $(LOCK) --no-annotate --constraints requirements/lock.txt

.PHONY: help
help: ## Print this list
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z0-9-]*:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\nARGS="..." is passed on to pytest: make test ARGS="-k lora -x"; WORKERS=4 tests in four processes\n'

# The environment is made again only when what goes into it has changed.
$(READY): requirements/install requirements/bootstrap.txt requirements/lock.txt crds/pyproject.toml operator/pyproject.toml trainer-image/pyproject.toml
	@requirements/install
	@touch $@

##@ Use
.PHONY: run
run: $(READY) ## Fine-tune a real model on examples/quickstart.yaml (result in runs/)
	@uri=$$($(BIN)/python examples/fetch_model.py) || exit; \
	set --; case "$$uri" in file://*) set -- --set "spec.model.uri=$$uri" --set spec.model.revision= ;; esac; \
	$(BIN)/finetune-trainer run examples/quickstart.yaml --output runs "$$@"

##@ Check
.PHONY: test test-slow test-unit test-integration e2e lint typecheck verify
test: $(READY) ## Run all tests that need no node, but for the long ones
	$(PARALLEL) -m "not slow" tests --ignore=tests/e2e

test-slow: $(READY) ## Run the long ones: every task by every method, runs that are stopped and killed in each phase
	$(PARALLEL) -m slow tests --ignore=tests/e2e

test-unit: $(READY) ## Run the tests that need no server, but for the long ones
	$(PARALLEL) -m "not slow" tests/unit

test-integration: $(READY) ## Run the tests against a real API server and object store, but for the long ones
	$(PARALLEL) -m "not slow" tests/integration

.PHONY: programs
programs: $(READY) ## Get the servers that tests start, if they are not there (the tests do it, too)
	@$(BIN)/python tests/cluster/binaries.py

e2e: $(READY) ## Test all of it on a real node: make cluster-up images e2e
	FINETUNE_REQUIRE_NODE=1 $(PYTEST) tests/e2e

lint: $(READY) ## Check format, style, types, layers and the house rules
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/unit/test_repository.py

typecheck: $(READY) ## Check types only
	$(BIN)/mypy

verify: lint ## Check all that lint does, and that generated files and the lock are up to date
	$(BIN)/python -m finetune_api.crd --check
	$(BIN)/python -m finetune_api.reference --check
	$(BIN)/python docs/draw_architecture.py --check
	$(BIN)/python charts/sync.py --check
	$(BIN)/python requirements/check_lock.py

##@ Change
.PHONY: fmt crds docs sizes chart lock
fmt: $(READY) ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

crds: $(READY) ## Generate crds/*.yaml from the pydantic models
	$(BIN)/python -m finetune_api.crd
	$(BIN)/python charts/sync.py

docs: $(READY) ## Generate docs/reference and the picture of the architecture from the code
	$(BIN)/python -m finetune_api.reference
	$(BIN)/python docs/draw_architecture.py

sizes: $(READY) ## Write the table of memory by model and method into docs/how-to/size-a-job.md (some minutes)
	$(BIN)/python docs/size_table.py

chart: $(READY) ## Bring the Helm chart in step with the code: CRD, schema and page of its values, dashboard
	$(BIN)/python charts/sync.py

lock: $(READY) ## Lock the dependencies again (newest versions: make lock ARGS=--upgrade)
	$(LOCK) $(ARGS) --group dev operator/pyproject.toml trainer-image/pyproject.toml -o requirements/lock.txt
	$(LOCK_IMAGE) operator/pyproject.toml -o requirements/operator.txt
	$(LOCK_IMAGE) trainer-image/pyproject.toml -o requirements/trainer.txt
	echo hatchling | $(LOCK_IMAGE) - -o requirements/build.txt

##@ Cluster
.PHONY: cluster-up cluster-down images
cluster-up: $(READY) ## Start a Kubernetes cluster for tests on this machine: kind, or without Docker its own
	@$(BIN)/python tests/cluster/bed.py up

cluster-down: $(READY) ## End that cluster; what was built for it stays
	@$(BIN)/python tests/cluster/bed.py down

images: $(READY) ## Build both images and load them into that cluster, if it is up (one: make images ARGS=trainer)
	@$(BIN)/python tests/cluster/images.py $(ARGS)

.PHONY: kind-smoke
kind-smoke: $(READY) ## Try the README's way on kind, and remove all: its cluster, operator image and chart (ARGS=up: leave it)
	@$(BIN)/python tests/cluster/kind_smoke.py $(ARGS)

.PHONY: chaos
KILLS ?= 200
SEED ?= 1
chaos: $(READY) ## Kill the trainer 200 times, at points drawn from a seed: nothing may be lost (KILLS=..., SEED=...)
	PYTHONPATH=tests/cluster:tests/chaos $(BIN)/python tests/chaos/chaos_suite.py --kills $(KILLS) --seed $(SEED) $(ARGS)

##@ Measure
.PHONY: bench-trainer bench-llm bench-checkpoint bench-quality bench-recipes bench-scale bench-vocabulary bench-near-duplicates bench-base-memory bench-csv bench-estimate bench-frozen-features
bench-trainer: $(READY) ## Compare training speed with plain recipes, side by side
	$(BIN)/python benchmarks/trainer.py $(ARGS)

bench-llm: $(READY) ## Compare tuning a language model, SFT and DPO, with TRL's trainers, side by side
	$(BIN)/python benchmarks/compare_llm.py $(ARGS)

bench-checkpoint: $(READY) ## Compare training's wait for a checkpoint with plain, synchronous saving, side by side
	PYTHONPATH=tests/cluster:tests/chaos $(BIN)/python benchmarks/checkpointing.py $(ARGS)

bench-quality: $(READY) ## Measure each task by each method, beside its rate, and beside scripts by hand (ARGS="--data FOLDER --model FOLDER")
	PYTHONPATH=tests/chaos $(BIN)/python benchmarks/compare_quality.py $(ARGS)

bench-recipes: $(READY) ## Compare the recipes with the scripts that tutorials teach, side by side (ARGS=--real: their models)
	PYTHONPATH=tests/chaos $(BIN)/python benchmarks/compare_recipes.py $(ARGS)

bench-frozen-features: $(READY) ## Compare a solved head on frozen features with scikit-learn's logistic regression (ARGS="--data FOLDER --model FOLDER")
	PYTHONPATH=tests/chaos $(BIN)/python benchmarks/frozen_features.py $(ARGS)

bench-vocabulary: $(READY) ## Compare projecting all tokens onto the vocabulary with those that have a label, side by side
	$(BIN)/python benchmarks/vocabulary.py $(ARGS)

bench-near-duplicates: $(READY) ## Measure CPU time and memory of the search for near-duplicates, per GB of text (ARGS="--megabytes 200")
	$(BIN)/python benchmarks/near_duplicates.py $(ARGS)

bench-base-memory: $(READY) ## Measure the peak memory of adapters over a base in FP32, in its own format and in 4 bits
	$(BIN)/python benchmarks/base_memory.py $(ARGS)

bench-estimate: $(READY) ## Compare the estimate of training's memory with measured peaks, for six kinds of models
	$(BIN)/python benchmarks/estimate.py $(ARGS)

bench-csv: $(READY) ## Measure how fast CSV files are read, beside csv.DictReader (ARGS="--megabytes 50 --rounds 5")
	$(BIN)/python benchmarks/csv_reading.py $(ARGS)

bench-scale: $(READY) ## Give the operator 1,000 jobs at once on a real control plane, with played pods
	PYTHONPATH=tests/cluster $(BIN)/python benchmarks/operator_scale.py $(ARGS)

.PHONY: gpu-check
gpu-check: $(READY) ## Check and measure on this machine's GPU, ten minutes, one table (ARGS=--dry-run rehearses it on a CPU)
	$(BIN)/python benchmarks/gpu_check.py $(ARGS)

##@ Clean
.PHONY: clean
clean: ## Remove the environment and all caches of the tree (runs/ stays)
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
	find . -name __pycache__ -prune -exec rm -rf {} +
