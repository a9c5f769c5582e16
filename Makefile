# Every target installs what it needs; `make help` lists them.
.DEFAULT_GOAL := help
PYTHON_IN := .venv/bin/python
# Options for pytest, as in: make test ARGS='-k board -x'
ARGS ?=
# The number of test processes; each starts servers of its own.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ "$$n" -lt 4 ] && echo "$$n" || echo 4)

# The integration tests of `make check`: those that start no processes, and run on SQLite.
QUICK = tests/unit tests/mutants $(addprefix tests/integration/,board/test_board.py board/test_counts.py \
	board/test_flight.py board/test_inspection.py board/test_limits.py board/test_order.py dispatch/test_dispatcher.py \
	intake/test_admission.py intake/test_estimates.py ledger/test_bands.py queues/test_guarded_worker.py queues/test_hygiene.py \
	queues/test_lanes.py web/test_lists.py)

.PHONY: help run demo info check test test-long mutants lint map chaos soak marks bench-fair bench-expect migration pins

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: ## Run the whole stack on http://127.0.0.1:8000/ until Ctrl-C; PORT sets another port
	@exec scripts/venv requirements.txt
	@exec $(PYTHON_IN) -m jobsched up

demo: ## Run twenty jobs of five sites on a separate stack, and show the order in which they ran
	@exec scripts/venv requirements.txt
	@exec $(PYTHON_IN) -m jobsched demo

info: ## Show the queues and workers of the running stack, like rq info
	@exec scripts/venv requirements.txt
	@exec $(PYTHON_IN) -m jobsched info

check: lint ## Lint, then run the quick tests, in less than a minute
	@exec $(PYTHON_IN) -m pytest --numprocesses $(JOBS) --dist worksteal -k 'not postgresql' $(QUICK) $(ARGS)

test: lint ## Lint, then run all tests; if run as root with apt-get, first install the servers that they need
	@exec scripts/system-packages
	@exec $(PYTHON_IN) -m pytest --numprocesses $(JOBS) --dist worksteal $(ARGS)

test-long: ## Run 1,000 examples of the model tests, and tests with host clocks that are hours apart
	@exec scripts/venv requirements-dev.txt
	@exec scripts/system-packages
	@HYPOTHESIS_PROFILE=long exec $(PYTHON_IN) -m pytest tests/model tests/integration/servers/test_hosts_clocks.py $(ARGS)

mutants: ## Plant faults in a copy of the tree, one at a time, and fail if the tests miss one: ARGS='--only fence'
	@exec scripts/venv requirements-dev.txt
	@exec scripts/system-packages
	@exec $(PYTHON_IN) -m tests.mutants $(ARGS)

lint: ## Check style and types with ruff and mypy
	@exec scripts/venv requirements-dev.txt
	@exec $(PYTHON_IN) -m ruff check --quiet .
	@exec $(PYTHON_IN) -m mypy --no-error-summary

map: ## Redraw the generated parts of docs/: which package imports which, the worked example, the settings
	@exec scripts/venv requirements-dev.txt
	@exec $(PYTHON_IN) -m tests.architecture

chaos: ## Inject faults into a stack under load: SECONDS=120 SEED=1 DB=sqlite|postgres CONTROL=rq FAULTS=kill,flush,...
	@exec scripts/venv requirements-dev.txt
	@exec scripts/system-packages
	@exec $(PYTHON_IN) -m tests.chaos --seconds $(or $(SECONDS),120) --seed $(or $(SEED),1) --db $(or $(DB),sqlite) \
		$(if $(CONTROL),--control $(CONTROL)) $(if $(FAULTS),--faults $(FAULTS)) $(ARGS)

soak: ## Run a steady load and plot memory, files, keys and connections into docs/: SECONDS=1800 DB=sqlite|postgres
	@exec scripts/venv requirements-dev.txt
	@exec scripts/system-packages
	@exec $(PYTHON_IN) -m tests.chaos.soak --seconds $(or $(SECONDS),1800) --db $(or $(DB),sqlite) $(ARGS)

marks: ## Simulate the marks of the policies; writes docs/fairness*.md and pictures, and fails if a mark is missed
	@exec scripts/venv requirements-dev.txt
	@exec $(PYTHON_IN) -m benchmarks.marks

bench-fair: ## Compare a flood on real workers, under fifo and balanced, with its simulation: SECONDS=60
	@exec scripts/venv requirements-dev.txt
	@exec $(PYTHON_IN) -m benchmarks.fair --seconds $(or $(SECONDS),60) $(ARGS)

bench-expect: ## Compare the expected starts of real jobs with their actual starts: SECONDS=60
	@exec scripts/venv requirements-dev.txt
	@exec $(PYTHON_IN) -m benchmarks.expectations --seconds $(or $(SECONDS),60) $(ARGS)

migration: ## Write a migration from the database's tables to the models: make migration M='add weight to sites'
	@exec scripts/venv requirements.txt
	@exec $(PYTHON_IN) -m jobsched migrate
	@exec $(PYTHON_IN) -m jobsched migrate --new "$(M)"

pins: ## Resolve requirements*.in again, into the pinned requirements*.txt
	@exec scripts/venv requirements-dev.txt
	@exec $(PYTHON_IN) -m pip install -qq uv
	@exec .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --no-header --output-file requirements.txt requirements.in
	@exec .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --no-header --output-file requirements-dev.txt requirements-dev.in
