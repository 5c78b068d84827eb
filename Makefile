# Emblem. `make help` lists what there is. GNU make 3.81 or later, Python 3.11 or later.

# The first Python that is new enough; PYTHON=… names another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && echo "$$p" && break; done)

BIN     := .venv/bin
CLIENTS := .venv-clients
TORCH   := .venv-torch
NODE    := tests/compat/node
PROVIDER := tests/console/provider
LOCKS   := requirements
BENCH   := .venv-bench
BENCH_BUILT := .cache/bench
BENCH_HOME := $(BENCH_BUILT)/home
PIP     := -m pip --disable-pip-version-check

# uv makes the locks; nothing else needs it. torch is no part of any lock.
UV_VERSION    := 0.13.8
TORCH_VERSION := 2.13.0

# Many tests wait for processes to start, so two are run at a time. Each of the two takes the tests
# of a module one after the other, in their order, as far as it can.
TOGETHER := -n 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help serve test test-slow test-torch bench bench-gateway check lock check-lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: .venv/.core ## install what is needed and serve; ARGS="--port 9000" adds options
	@exec $(BIN)/emblem serve $(ARGS)

test: .venv/.dev $(CLIENTS)/.done node-packages ## install what is needed and run the tests; ARGS="-k name" chooses
	$(BIN)/python -m pytest -m "not slow" $(if $(ARGS),$(ARGS),$(TOGETHER))

test-slow: .venv/.dev $(TORCH)/.done $(BENCH)-litellm/.done $(BENCH)-infinity/.done ## compare with torch and other servers, live
	EMBLEM_TORCH_PYTHON="$(CURDIR)/$(TORCH)/bin/python" $(BIN)/python -m pytest -m "slow and not torch" $(ARGS)
	$(TORCH)/bin/python -m pytest -m torch tests/with_torch $(ARGS) || test $$? -eq 5 # ARGS chose none

test-torch: $(TORCH)/.done ## run the tests of the torch extra, where it is installed
	$(TORCH)/bin/python -m pytest -m torch tests/with_torch $(ARGS)

bench: .venv/.dev $(TORCH)/.done bench-rivals ## measure Emblem beside other servers and libraries; ARGS="--quick" is short
	@EMBLEM_HOME="$(CURDIR)/$(BENCH_HOME)" $(BIN)/emblem pull all-MiniLM-L6-v2 wordllama-256
	@test -e $(BENCH_HOME)/models/all-MiniLM-L6-v2%3Aint8 || \
		EMBLEM_HOME="$(CURDIR)/$(BENCH_HOME)" $(BIN)/emblem quantize all-MiniLM-L6-v2
	@test -e $(BENCH_BUILT)/flat || $(BENCH)-onnx/bin/python benchmarks/compare/export.py \
		$(BENCH_HOME)/models/all-MiniLM-L6-v2 $(BENCH_BUILT)
	@$(BIN)/python -m benchmarks.compare run $(ARGS)

bench-gateway: .venv/.dev ## measure Emblem as a gateway beside LiteLLM's proxy; ARGS="--rounds 1" is short
	-@$(MAKE) --no-print-directory $(BENCH)-litellm/.done
	@$(BIN)/python -m benchmarks.gateway $(ARGS)

check: .venv/.dev ## lint, format, types, layers, and that the lock has what pyproject.toml asks for
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python $(PIP) check

lock: .venv-lock/.done ## resolve requirements/*.txt again; ARGS="--upgrade" takes newer versions
	@sh scripts/lock.sh "$(CURDIR)/.venv-lock/bin/uv" $(ARGS)

check-lock: .venv/.core ## ask the package index for a wheel of every locked package, on every platform
	$(BIN)/python scripts/check_lock.py $(ARGS)

clean: ## remove environments, client packages and caches; models and keys are not here
	rm -rf .venv .venv-clients .venv-torch .venv-lock $(BENCH)-* $(NODE)/node_modules $(PROVIDER)/node_modules build dist
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is made once. A stamp in it says which lock it holds; a lock that is newer than its
# stamp is installed again. The development lock holds the versions of the core lock and more, so
# both share one environment and neither undoes the other.
define make_environment
	@test -x $(1)/bin/pip || { \
		"$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null || { echo "Emblem needs Python 3.11 or later, and \
	$(if $(PYTHON),$(PYTHON) is not that,none was found). Name one: make PYTHON=/path/to/python3" >&2; exit 2; }; \
		"$(PYTHON)" -m venv $(1) || { rm -rf $(1); echo "$(PYTHON) cannot make an environment. \
	On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }; }
endef

.venv/.core: $(LOCKS)/core.txt $(LOCKS)/build.txt pyproject.toml
	$(call make_environment,.venv)
	@echo "Installing the locked dependencies into .venv (once)"
	@$(BIN)/python $(PIP) install -q --require-hashes -r $(LOCKS)/core.txt -r $(LOCKS)/build.txt
	@$(BIN)/python $(PIP) install -q --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: $(LOCKS)/dev.txt .venv/.core
	@echo "Installing the locked development tools into .venv (once)"
	@$(BIN)/python $(PIP) install -q --require-hashes -r $(LOCKS)/dev.txt
	@touch $@

$(CLIENTS)/.done: $(LOCKS)/clients.txt
	$(call make_environment,$(CLIENTS))
	@echo "Installing the locked client libraries into $(CLIENTS) (once)"
	@$(CLIENTS)/bin/python $(PIP) install -q --require-hashes -r $(LOCKS)/clients.txt
	@touch $@

$(TORCH)/.done: $(LOCKS)/slow.txt pyproject.toml
	$(call make_environment,$(TORCH))
	@echo "Installing torch $(TORCH_VERSION), then Emblem and the locked reference libraries, into $(TORCH) (once)"
	@$(TORCH)/bin/python $(PIP) install -q torch==$(TORCH_VERSION)
	@$(TORCH)/bin/python $(PIP) install -q --require-hashes --no-deps -r $(LOCKS)/slow.txt
	@$(TORCH)/bin/python $(PIP) install -q --no-deps --no-build-isolation --editable .
	@touch $@

# Rivals of the benchmark, each in an environment of its own. One that cannot be installed is left
# out, and the benchmark says so.
.PHONY: bench-rivals
bench-rivals:
	-@$(MAKE) --no-print-directory $(BENCH)-infinity/.done
	-@$(MAKE) --no-print-directory $(BENCH)-onnx/.done

$(BENCH)-litellm/.done: benchmarks/requirements/litellm.txt
	$(call make_environment,$(BENCH)-litellm)
	@echo "Installing LiteLLM's proxy into $(BENCH)-litellm for the benchmark (once)"
	@$(BENCH)-litellm/bin/python $(PIP) install -q --no-deps -r $<
	@touch $@

$(BENCH)-%/.done: benchmarks/requirements/%.txt
	$(call make_environment,$(BENCH)-$*)
	@echo "Installing $* into $(BENCH)-$* for the benchmark (once)"
	@$(BENCH)-$*/bin/python $(PIP) install -q torch==$(TORCH_VERSION)
	@$(BENCH)-$*/bin/python $(PIP) install -q --no-deps -r benchmarks/requirements/$*.txt
	@touch $@

.venv-lock/.done: Makefile
	$(call make_environment,.venv-lock)
	@.venv-lock/bin/python $(PIP) install -q uv==$(UV_VERSION)
	@touch $@

# Without npm the tests of JavaScript clients, and of signing in through a provider, are skipped, and fail where CI=true.
.PHONY: node-packages
node-packages:
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory $(NODE)/node_modules/.done $(PROVIDER)/node_modules/.done; fi

$(NODE)/node_modules/.done $(PROVIDER)/node_modules/.done: %/node_modules/.done: %/package.json %/package-lock.json
	@echo "Installing the locked JavaScript packages into $*/node_modules (once)"
	@cd $* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@
