# Two targets are all a newcomer needs: `make run` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: run test test-peers test-faults bench bench-guard standards fuzz lock clean
.DELETE_ON_ERROR:

run: .venv/run.stamp
	@$(BIN)/estafeta try $(ARGS)

test: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest $(ARGS)

# Needs Debian's packages; .ci/run installs them and docs/architecture.md lists them.
test-peers: .venv/dev.stamp
	$(BIN)/pytest -m peers tests/peers tests/faults $(ARGS)

# The long forms, as root, some two hours: docs/faults.md.
test-faults: .venv/dev.stamp
	ESTAFETA_FAULTS=full ESTAFETA_EVERY_OPERATION=1 $(BIN)/pytest -m 'peers or not peers' -s -o faulthandler_timeout=0 tests/faults \
		tests/simulation/test_disk_store.py $(ARGS)

# Beside other servers, as root: docs/performance.md.
bench: .venv/dev.stamp
	$(BIN)/python -m bench $(ARGS)

# What a message costs in instructions, beside the figures in bench/guard.json; ARGS=--accept keeps the new ones.
bench-guard: .venv/dev.stamp
	$(BIN)/python -m bench.guard $(ARGS)

# Writes docs/standards.md from the marks of the tests and the citations in the code.
standards: .venv/dev.stamp
	$(BIN)/python -m tools.standards

# ARGS="--seconds 600 --target server": tests/fuzz/README.md. What is found stands in .fuzz.
fuzz: .venv/fuzz.stamp
	$(BIN)/python -m tests.fuzz $(ARGS)

lock: .venv/lock.stamp
	$(BIN)/pip-compile -q --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-find-links \
		--no-emit-options --no-emit-trusted-host -o requirements.lock pyproject.toml
	$(BIN)/pip-compile -q --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-find-links \
		--no-emit-options --no-emit-trusted-host --extra dev -o requirements-dev.lock pyproject.toml
	$(BIN)/pip-compile -q --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-find-links \
		--no-emit-options --no-emit-trusted-host -o requirements-fuzz.lock requirements-fuzz.in
	$(BIN)/pip-compile -q --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-find-links \
		--no-emit-options --no-emit-trusted-host -o requirements-bench.lock requirements-bench.in

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Estafeta needs Python 3.11 or later; this is " + sys.version) if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv .venv

# The package's own build backend is locked with the rest, so no step of the setup takes an unhashed file.
.venv/run.stamp: .venv/bin/python requirements.lock requirements-build.lock pyproject.toml
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock -r requirements-build.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: .venv/run.stamp requirements-dev.lock
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

.venv/fuzz.stamp: .venv/dev.stamp requirements-fuzz.lock
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-fuzz.lock
	@touch $@

.venv/lock.stamp: .venv/bin/python
	$(BIN)/pip install -q --disable-pip-version-check pip-tools
	@touch $@

clean:
	rm -rf .venv .fuzz .bench estafeta-trial .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
