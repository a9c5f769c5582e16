# Every target sets up what it needs; `make help` lists them.
.DEFAULT_GOAL := help
PYTHON_IN := .venv/bin/python
# Options of pytest, as in: make test ARGS='-k board -x'
ARGS ?=
# How many processes run the tests, each with servers of its own.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ "$$n" -lt 4 ] && echo "$$n" || echo 4)

# What `make check` runs beside the unit tests: no processes, and SQLite alone.
QUICK = tests/unit tests/mutants $(addprefix tests/integration/,board/test_board.py board/test_counts.py \
	board/test_flight.py board/test_inspection.py board/test_limits.py board/test_order.py dispatch/test_dispatcher.py \
	intake/test_admission.py intake/test_estimates.py ledger/test_bands.py queues/test_guarded.py queues/test_hygiene.py \
	queues/test_lanes.py web/test_lists.py)

.PHONY: help run demo info check test test-long mutants lint map chaos soak marks bench-fair bench-expect migration pins

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: ## Run the whole stack on http://127.0.0.1:8000/ (PORT chooses another) until Ctrl-C
	@exec scripts/venv requirements.txt
	@exec $(PYTHON_IN) -m jobsched up

demo: ## Run twenty jobs of five sites on a stack of its own, and show their order
	@exec scripts/venv requirements.txt
	@exec $(PYTHON_IN) -m jobsched demo

info: ## Show the queues and workers of the running stack, as rq info does
	@exec scripts/venv requirements.txt
	@exec $(PYTHON_IN) -m jobsched info

check: lint ## Lint, and run the tests that take less than a minute
	@exec $(PYTHON_IN) -m pytest --numprocesses $(JOBS) --dist worksteal -k 'not postgresql' $(QUICK) $(ARGS)

test: lint ## Lint, then run all tests; as root with apt-get, install the servers that they use first
	@exec scripts/system-packages
	@exec $(PYTHON_IN) -m pytest --numprocesses $(JOBS) --dist worksteal $(ARGS)

test-long: ## The model of the engine with 1,000 examples, and hosts whose clocks are hours apart
	@exec scripts/venv requirements-dev.txt
	@exec scripts/system-packages
	@HYPOTHESIS_PROFILE=long exec $(PYTHON_IN) -m pytest tests/model tests/integration/servers/test_hosts_clocks.py $(ARGS)

mutants: ## Plant faults in a copy of the tree, one at a time, and fail when the tests miss one: ARGS='--only fence'
	@exec scripts/venv requirements-dev.txt
	@exec scripts/system-packages
	@exec $(PYTHON_IN) -m tests.mutants $(ARGS)

lint: ## Check the style and the types
	@exec scripts/venv requirements-dev.txt
	@exec $(PYTHON_IN) -m ruff check --quiet .
	@exec $(PYTHON_IN) -m mypy --no-error-summary

map: ## Draw into docs/architecture.md which room imports which, and the worked example
	@exec scripts/venv requirements-dev.txt
	@exec $(PYTHON_IN) -m tests.architecture

chaos: ## Break the stack under load: SECONDS=120 SEED=1 DB=sqlite|postgres CONTROL=rq FAULTS=kill,flush,... (default all)
	@exec scripts/venv requirements-dev.txt
	@exec scripts/system-packages
	@exec $(PYTHON_IN) -m tests.chaos --seconds $(or $(SECONDS),120) --seed $(or $(SEED),1) --db $(or $(DB),sqlite) \
		$(if $(CONTROL),--control $(CONTROL)) $(if $(FAULTS),--faults $(FAULTS)) $(ARGS)

soak: ## Load the stack steadily: SECONDS=1800 DB=sqlite|postgres; draws what grows into docs/
	@exec scripts/venv requirements-dev.txt
	@exec scripts/system-packages
	@exec $(PYTHON_IN) -m tests.chaos.soak --seconds $(or $(SECONDS),1800) --db $(or $(DB),sqlite) $(ARGS)

marks: ## Simulate all policies' marks, on the real board; writes docs/fairness.md and its pictures, fails when one is missed
	@exec scripts/venv requirements-dev.txt
	@exec $(PYTHON_IN) -m benchmarks.marks

bench-fair: ## A flood on real workers under fifo and balanced, and what the simulator says of it: SECONDS=60
	@exec scripts/venv requirements-dev.txt
	@exec $(PYTHON_IN) -m benchmarks.fair --seconds $(or $(SECONDS),60) $(ARGS)

bench-expect: ## Ask real jobs when they will start, and see whether they do: SECONDS=60
	@exec scripts/venv requirements-dev.txt
	@exec $(PYTHON_IN) -m benchmarks.expectations --seconds $(or $(SECONDS),60) $(ARGS)

migration: ## Write a new migration that leads to the models, as in: make migration M='add weight to sites'
	@exec scripts/venv requirements.txt
	@exec $(PYTHON_IN) -m jobsched migrate
	@exec $(PYTHON_IN) -m jobsched migrate --new "$(M)"

pins: ## Resolve requirements*.in anew into the pinned files
	@exec scripts/venv requirements-dev.txt
	@exec $(PYTHON_IN) -m pip install -qq uv
	@exec .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --no-header --output-file requirements.txt requirements.in
	@exec .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --no-header --output-file requirements-dev.txt requirements-dev.in
