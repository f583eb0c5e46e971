# `make quickstart` and `make test` install all they need into .venv and the cache; nothing else has to be done first.
PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
INSTALLED := .venv/.installed
NODE := containerd runc containernetworking-plugins busybox-static iptables conntrack iproute2
export TOKENIZERS_PARALLELISM := false

.PHONY: help install quickstart check lint types contracts unit test soak bench seeds lock generate browser prometheus node kubernetes clean

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

check: lint types contracts unit  ## What a change must pass: two minutes

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

test: kubernetes check browser prometheus node  ## Every test
	@$(BIN)/python -m pytest tests/integration tests/end_to_end

soak: kubernetes browser prometheus node  ## The same tests with bigger counts: hours
	@AUTOLLM_SOAK=1 $(BIN)/python -m pytest tests/integration tests/end_to_end --timeout 36000

bench: $(INSTALLED)  ## Every figure, one JSON line each: about half an hour
	@for program in startup search trial training_step merge_to_disk prepare; do $(BIN)/python benchmarks/$$program.py || exit 1; done

seeds: $(INSTALLED)  ## The quickstart over five seeds: five times as long as one
	@$(BIN)/python benchmarks/quickstart_seeds.py --all

generate: $(INSTALLED)  ## Write what is generated: CRDs, schema and reference, the dashboard, kustomize bases
	@$(BIN)/python -m autollm.resources.generate
	@$(BIN)/python charts/dashboard/generate.py
	@$(BIN)/python charts/kustomize/generate.py --helm "$$($(BIN)/python tests/cluster/helm.py)"

lock: $(INSTALLED)  ## Choose versions anew
	@$(BIN)/uv pip compile --quiet --upgrade --all-extras --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean:
	@rm -rf .venv runs examples/quickstart/data
