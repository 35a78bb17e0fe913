# From a bare clone:  make repro  builds everything,  make test  checks it,  make ui  shows the runs.
# Needs Python 3.11 to 3.13, git and make. PYTHON=python3.12 picks another interpreter.

PYTHON ?= python3
PORT ?= 5000
BIN := .venv/bin
READY := .venv/.ready
PIP = $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check
# Telemetry off for every tool that is started from here: scans are patients.
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
# Compiled modules are kept: some machines switch that off, and then each of the pipeline's twenty
# processes compiles all that it imports once more, ten seconds a time.
export PYTHONDONTWRITEBYTECODE :=
# Files and messages are UTF-8 whatever the machine's locale.
export PYTHONUTF8 := 1

.DEFAULT_GOAL := help
.PHONY: help install packages repro pull push test chaos ui real bench lint lock clean

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

install: $(READY) ## Create .venv and install everything into it (once)

$(READY): pyproject.toml requirements.lock requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1); expected Python 3.11 to 3.13. Try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (a minute or two, once)"
	@# torch alone first: CPU or CUDA, as the machine is served; the rest must not pull another one.
	@$(PIP) "torch==2.13.0"
	@# uv takes a tenth of pip's time, but does not know pip's mirrors: with one, or where uv fails, pip does it.
	@set -e; locked="--quiet --no-deps -r requirements.lock -r requirements-dev.lock"; \
	  if $(BIN)/python -m pip config list | grep -Eq '\.(index-url|no-index)=' || \
	    ! { $(PIP) "uv==0.13.9" && $(BIN)/uv pip install --python $(BIN)/python $$locked; }; \
	  then $(PIP) $$locked; fi
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

packages: ## Debian programs that some tests drive (root; tests that miss one skip and say so)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium openssh-server postgresql

repro: $(READY) ## Rebuild whatever is out of date: data, models, reports (ARGS="STAGE")
	@# What a killed run left locked or half-written is put right; one that is alive is named.
	@$(BIN)/python -m spinalroots.storage mend
	PATH="$$PWD/$(BIN):$$PATH" dvc repro $(ARGS)
	@echo "Done. Open reports/index.html, or see the runs with: make ui"

pull: $(READY) ## Data and models from the DVC remote instead of building them (ARGS="models/NAME")
	$(BIN)/python -m spinalroots.storage pull $(ARGS)

push: $(READY) ## Data and models to the DVC remote, and see that they arrived
	$(BIN)/python -m spinalroots.storage push $(ARGS)

test: $(READY) ## Run all tests, the whole pipeline at smoke scale included (ARGS="-k NAME")
	@# Up to four files at once, one thread each.
	PATH="$$PWD/$(BIN):$$PATH" OMP_NUM_THREADS=1 PYTHONUTF8=1 \
	  python -m pytest -n auto --maxprocesses 4 --dist loadfile \
	  --no-loadscope-reorder $(ARGS)

chaos: $(READY) ## Kill every stage and command at random moments (ARGS="--kills 20 --seed 7"; an hour)
	PATH="$$PWD/$(BIN):$$PATH" python tests/chaos $(ARGS)
	PATH="$$PWD/$(BIN):$$PATH" python -m pytest tests/chaos/long_together.py tests/chaos/long_starved.py

ui: $(READY) ## MLflow UI on http://127.0.0.1:5000 (this machine only)
	$(BIN)/mlflow ui --backend-store-uri "sqlite:///$$PWD/mlflow.db" --host 127.0.0.1 --port $(PORT)

real: $(READY) ## Hold a model against real scans, if there are any: reports/real (ARGS="FOLDER -m MODEL")
	$(BIN)/spinalroots real $(ARGS)

bench: $(READY) ## Measure speed and memory as ratios: reports/benchmarks.json
	$(BIN)/python -m benchmarks

lint: $(READY) ## Check style and types
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

lock: ## Renew both locks from pyproject.toml (needs uv)
	bin/lock

clean: ## Remove the environment (data, models and reports stay)
	rm -rf .venv
