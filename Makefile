# `make demo` and `make test` prepare everything that they need; see CONTRIBUTING.md.
# Arguments for the program behind a target: make demo ARGS="--moves 50 --seed 7"

BIN := .venv/bin
DEMO_READY := .venv/.demo-ready
TEST_READY := .venv/.test-ready

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-fast lint bench docs native setup packages clean

help:
	@echo "make demo       the message flow of the draft's section 4.2 in network namespaces"
	@echo "make test       lint, type check and all tests"
	@echo "make test-fast  only the tests that run in memory"
	@echo "make lint       ruff and mypy"
	@echo "make bench      measure every figure beside its reference; writes bench.json"
	@echo "make docs       write the generated documents again"
	@echo "make native     the C library, and the C parts of the Python package; see native/Makefile"
	@echo "make setup      everything that the tests need, without running them"
	@echo "make packages   the Debian packages of scripts/packages.txt (as root)"
	@echo "make clean      remove what the other targets wrote, except .venv"

demo: $(DEMO_READY)
	$(BIN)/moorage demo $(ARGS)

test: setup lint
	$(BIN)/pytest $(ARGS)

test-fast: $(TEST_READY)
	$(BIN)/pytest -m "not netns and not interop" $(ARGS)

lint: $(TEST_READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(TEST_READY)
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(TEST_READY)
	$(BIN)/python scripts/conformance.py
	$(BIN)/python -m scripts.lifecycle

native:
	@$(MAKE) --no-print-directory -C native all package

setup: packages $(TEST_READY) native

packages:
	@scripts/setup packages

$(DEMO_READY): pyproject.toml scripts/setup
	@scripts/setup venv lab
	@touch $@

# The extra of the tests contains the one of the demo.
$(TEST_READY): pyproject.toml scripts/setup
	@scripts/setup venv dev
	@touch $(DEMO_READY) $@

clean:
	$(MAKE) -C native clean
	rm -rf demo-report bench.json build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks scripts -name __pycache__ -type d -exec rm -rf {} +
