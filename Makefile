# `make quickstart` and `make test` install all they need into .venv and the cache; nothing else has to be done first.
PYTHON ?= python3
UV_VERSION := 0.13.9
VERSION := 0.1.0
BIN := .venv/bin
INSTALLED := .venv/.installed
NODE := containerd runc containernetworking-plugins busybox-static iptables conntrack iproute2
export TOKENIZERS_PARALLELISM := false
# Thousands of processes import the same libraries: what the first one compiles, the others load.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install quickstart check lint types contracts unit test soak bench bench-cluster seeds lock generate browser prometheus node kubernetes lock-images images sbom clean

help:             ## Tell what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

install: $(INSTALLED)  ## Install everything into .venv
$(INSTALLED): requirements.lock pyproject.toml
	@test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); }
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

quickstart: $(INSTALLED)  ## Train, search, merge and publish a real model in about ten minutes
	@$(BIN)/python examples/quickstart/make_data.py
	@$(BIN)/autollm run examples/quickstart/run.yaml --jobs 2

check: $(INSTALLED)  ## What a change must pass: two minutes
	@$(MAKE) --no-print-directory --jobs 2 lint types contracts unit

lint: $(INSTALLED)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
types: $(INSTALLED)
	@$(BIN)/mypy
contracts: $(INSTALLED)
	@$(BIN)/lint-imports --no-logo > .contracts.log || { cat .contracts.log; exit 1; }
	@$(BIN)/python -m autollm.resources.generate --check
	@$(BIN)/python charts/dashboard/generate.py --check
	@$(BIN)/python charts/kustomize/generate.py --check --helm "$$($(BIN)/python tests/cluster/helm.py)"
unit: $(INSTALLED)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit -n 2

browser:          ## Install Debian's Chromium where it is missing
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
	  || { echo "The report is tested in a real browser: install Debian's package chromium (as root: apt-get install chromium)."; exit 1; }

prometheus:       ## Install Debian's Prometheus where it is missing
	@command -v prometheus >/dev/null || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus >/dev/null; } \
	  || { echo "Metrics, rules and the dashboard are tested with a real Prometheus: install Debian's package prometheus (as root: apt-get install prometheus)."; exit 1; }

node:             ## Install Debian's container runtime where it is missing; only root can, and can use it
	@test "$$(id -u)" != 0 || dpkg -s $(NODE) >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq --no-install-recommends $(NODE) >/dev/null; }

kubernetes: $(INSTALLED)  ## Begin to build the tests' Kubernetes: five minutes once, beside what is made next
	@cd tests && nice -n 19 ../$(BIN)/python -m cluster.binary &

# Most tests of a cluster wait and most others compute, so three processes keep two cores busy. More threads than
# cores would mostly wait for each other.
test soak: export OMP_NUM_THREADS := 1
EVERY_TEST := tests/end_to_end tests/integration -n 3 --dist loadfile --no-loadscope-reorder
test: kubernetes check browser prometheus node  ## Every test
	@cd tests && ../$(BIN)/python -m cluster.binary
	@$(BIN)/python -m pytest $(EVERY_TEST)

soak: kubernetes browser prometheus node  ## The same tests with bigger counts: hours
	@AUTOLLM_SOAK=1 $(BIN)/python -m pytest $(EVERY_TEST) --timeout 36000

bench: $(INSTALLED)  ## The figures of one machine, one JSON line each: about half an hour
	@for program in startup search trial training_step merge_to_disk prepare; do $(BIN)/python benchmarks/$$program.py || exit 1; done

bench-cluster: $(INSTALLED)  ## The operator's figures, on a real API server: about half an hour
	@for program in "plan_scale" "suggestion" "cluster_start" "cluster_search busy" "cluster_search growth"; do \
	  set -- $$program; $(BIN)/python benchmarks/$$1.py $$2 || exit 1; done

seeds: $(INSTALLED)  ## The quickstart over five seeds: five times as long as one
	@$(BIN)/python benchmarks/quickstart_seeds.py --all

generate: $(INSTALLED)  ## Write what is generated: CRDs, schema and reference, the dashboard, kustomize bases
	@$(BIN)/python -m autollm.resources.generate
	@$(BIN)/python charts/dashboard/generate.py
	@$(BIN)/python charts/kustomize/generate.py --helm "$$($(BIN)/python tests/cluster/helm.py)"

lock: $(INSTALLED)  ## Choose versions anew
	@$(BIN)/uv pip compile --quiet --upgrade --all-extras --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	@$(MAKE) --no-print-directory lock-images

LOCK_IMAGE := uv pip compile --quiet --python-platform linux --python-version 3.11 --generate-hashes --custom-compile-command "make lock" -c requirements.lock
lock-images:      ## Lock what the images install, at the versions of requirements.lock
	@$(BIN)/$(LOCK_IMAGE) --extra operator pyproject.toml -o images/operator/requirements.txt
	@$(BIN)/$(LOCK_IMAGE) --extra runtime pyproject.toml -o images/runtime/requirements.txt
	@echo hatchling | $(BIN)/$(LOCK_IMAGE) - -o images/build-requirements.txt

PUSHED := $(if $(filter 1,$(PUSH)),push=true,push=false)
# Options of docker buildx build beside those below, such as --build-arg PIP_INDEX_URL=https://pypi.example.org/simple.
BUILD_ARGS :=
# What the images' requirements are locked for, whatever the machine that builds: nodes have to be of it.
PLATFORM := linux/amd64
images:           ## Build both images, each with an SBOM; PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:…, with REGISTRY=… PUSH=1 push them
	@test "$(PUSH)" != 1 || test -n "$(REGISTRY)" || { echo "Set REGISTRY to where the images are to be pushed, such as registry.example.org/ml/."; exit 1; }
	@test -n "$(PYTHON_IMAGE)" || { echo "Set PYTHON_IMAGE to python:3.11-slim-bookworm@sha256:…; images/README.md says how to find the digest."; exit 1; }
	@for image in operator runtime; do docker buildx build --file images/$$image/Dockerfile --build-arg PYTHON_IMAGE=$(PYTHON_IMAGE) \
	  --build-arg SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) --build-arg REVISION=$$(git rev-parse HEAD) --build-arg VERSION=$(VERSION) \
	  --platform $(PLATFORM) --sbom=true --provenance=mode=max $(BUILD_ARGS) \
	  --output type=image,name=$(REGISTRY)autollm-$$image:$(VERSION),rewrite-timestamp=true,$(PUSHED) . || exit 1; done

sbom: $(INSTALLED)  ## Write build/operator.cdx.json and build/runtime.cdx.json: what the images install, as CycloneDX
	@mkdir -p build
	@for image in operator runtime; do $(BIN)/uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py requirements --output-reproducible \
	  --output-file build/$$image.cdx.json images/$$image/requirements.txt || exit 1; done


clean:
	@rm -rf .venv examples/quickstart/data
