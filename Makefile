# The front door of Polis. `make help` lists everything; `make run` and `make test` need only git and make.
# Where there is no bash, sh still says so (.system).
SHELL := $(firstword $(wildcard /bin/bash /usr/bin/bash /usr/local/bin/bash) /bin/sh)
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# The targets are commands, not files, and ninja is what runs things in parallel.
.NOTPARALLEL:

# Personal settings (JOBS, PORT, DATABASE_URL, ...); never committed.
-include Makefile.local

# One compiler a core, but no more than memory holds: a file with Beast coroutines takes about 1.5 GiB. Not `:=`, so
# that nothing of Linux is asked before .system has looked.
jobs = $(or $(JOBS),$(shell awk -v cores="$$(nproc)" '/^MemAvailable:/ { fit = int($$2 / 1572864); \
    print fit < 1 ? 1 : fit < cores ? fit : cores }' /proc/meminfo))
test_jobs = $(or $(TEST_JOBS),$(shell nproc))
# Warnings are errors where code is written and accepted, not where somebody only wants to run Polis.
strict = $(if $(filter 1 true,$(CI) $(WERROR)),-DPOLIS_WERROR=ON)
# What Makefile.local sets reaches scripts and programs through the environment. Only what is set: an empty HOST is not
# the same as none.
passed_on := DATABASE_URL POSTGRES_DSN HOST PORT ADMIN_PORT OUTBOX_SINK LOG_LEVEL LOG_FORMAT LINT_CHANGED FUZZ_SECONDS CHAOS_MINUTES CHAOS_SEED
$(foreach name,$(passed_on),$(if $(value $(name)),$(eval export $(name))))

tools := infra/tools
release := build/release
bin := $(release)/bin
migrate := $(tools)/with_database.sh $(bin)/polis-migrate
compose = $$(docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

# $(call configure,PRESET): once; afterwards ninja itself notices a changed CMakeLists.txt.
define configure
	if [[ ! -f build/$(1)/build.ninja ]]; then \
	    launcher=$$(command -v ccache || true); \
	    cmake --preset $(1) $(strict) $${launcher:+"-DCMAKE_CXX_COMPILER_LAUNCHER=env;CCACHE_SLOPPINESS=pch_defines,time_macros;$$launcher"}; \
	fi
endef

# $(call build,PRESET,TARGETS)
define build
	$(call configure,$(1)); cmake --build build/$(1) --parallel $(jobs) $(if $(2),--target $(2))
endef

# $(call tests,PRESET,CTEST OPTIONS)
ctest = ctest --test-dir build/$(1) --parallel $(test_jobs) --output-on-failure --no-tests=error $(2)

.PHONY: help
help: ## this list
	@awk -f $(tools)/help.awk $(firstword $(MAKEFILE_LIST))

##@ Run

.PHONY: run
run: .deps-run .build-programs ## everything on this machine: private PostgreSQL, API on :8000, outbox worker (PORT=, OUTBOX_SINK=, DATABASE_URL=)
	@exec $(tools)/run.sh

.PHONY: demo
demo: ## replay real city records against the running API (PORT=)
	@python3 tests/demo/replay.py $(if $(PORT),http://127.0.0.1:$(PORT))

##@ Build

.PHONY: deps
deps: .system ## install what is missing (apt; with sudo when not root)
	@$(tools)/deps.sh build run test lint

.PHONY: build
build: .deps-build ## all programs and tests, into build/release
	@$(call build,release)

.PHONY: clean
clean: ## remove build/ (data in .polis/ stays; `make clean-data` removes it)
	rm -rf build

.PHONY: clean-data
clean-data: ## stop the private PostgreSQL and delete its data
	@if $(tools)/pg_cluster.sh status .polis >/dev/null; then echo "the cluster in .polis is running: stop 'make run' first"; exit 1; fi
	$(tools)/pg_cluster.sh destroy .polis
	rm -rf .polis

##@ Test

.PHONY: test
test: .deps-test build ## all tests, on the programs that are shipped
	@$(tools)/with_cluster.sh $(call ctest,release)

.PHONY: test-unit
test-unit: .deps-test build ## unit and architecture tests: no database, no network
	@$(call ctest,release,--label-regex '^(unit|architecture)$$')

.PHONY: test-integration
test-integration: .deps-test build ## parts against a real PostgreSQL
	@$(tools)/with_cluster.sh $(call ctest,release,--label-regex '^integration$$')

.PHONY: test-e2e
test-e2e: .deps-test build ## the real programs from outside
	@$(tools)/with_cluster.sh $(call ctest,release,--label-regex '^e2e$$')

.PHONY: test-file
test-file: .deps-test build ## the tests of one source file: make test-file FILE=tests/unit/domain/ids_test.cpp
	@$(tools)/with_cluster.sh python3 $(tools)/select_tests.py $(release) file "$${FILE:-}"

.PHONY: test-pattern
test-pattern: .deps-test build ## tests whose name matches a regular expression: make test-pattern PATTERN=dedupe
	@$(tools)/with_cluster.sh python3 $(tools)/select_tests.py $(release) pattern "$${PATTERN:-}"

.PHONY: test-debian13
test-debian13: .system ## all tests on a bare Debian 13, in a chroot (needs root; COMMAND="make test-unit" for less)
	@WERROR=1 $(tools)/test_debian.sh trixie $(or $(COMMAND),make test)

.PHONY: coverage
coverage: .deps-test ## line coverage of all tests, report in build/coverage/report/index.html
	@$(tools)/deps.sh coverage
	@$(tools)/coverage.sh $(jobs)

.PHONY: asan
asan: .deps-test ## all tests with AddressSanitizer and UBSan
	@$(call build,asan)
	@source $(tools)/sanitizers.sh; $(tools)/with_cluster.sh $(call ctest,asan,--label-regex '^(unit|integration|e2e)$$')

.PHONY: tsan
tsan: .deps-test ## the concurrent parts with ThreadSanitizer
	@$(call build,tsan,tsan_tests)
	@source $(tools)/sanitizers.sh; $(tools)/with_cluster.sh $(call ctest,tsan,--label-regex '^tsan$$')

.PHONY: fuzz
fuzz: .deps-test ## random and mutated input against the parsers (FUZZ_SECONDS=60)
	@$(call build,asan)
	@source $(tools)/sanitizers.sh; export FUZZ_SECONDS=$${FUZZ_SECONDS:-60}; $(call ctest,asan,--label-regex '^fuzz$$')

.PHONY: bench
bench: .deps-bench .build-bench ## Polis beside a baseline and the machine's ceilings: about an hour, report in build/bench/
	@python3 tests/bench/bench.py

.PHONY: bench-quick
bench-quick: .deps-bench .build-bench ## the same without figures 17 and 18, coarser, in under four minutes
	@python3 tests/bench/bench.py --quick

.PHONY: bench-propagator
bench-propagator: .deps-test build ## the propagator alone: punctuality, 20,000 requests/s, next to another open-loop tool
	@python3 tests/bench/propagator_bench.py

.PHONY: bench-consumer
bench-consumer: .deps-bench .deps-test .build-bench ## polis-consumer beside the writer alone and a Python consumer, on one topic: about five minutes
	@python3 tests/bench/consumer_bench.py

.PHONY: chaos
chaos: .deps-test .build-programs ## kills, pauses and cuts everything under load; were all promises kept? (CHAOS_MINUTES=2, CHAOS_SEED=)
	@POLIS_BIN_DIR=$(CURDIR)/$(bin) python3 tests/chaos/chaos.py

.PHONY: failpoints
failpoints: .deps-test ## die at every named point of the programs, at each of its passages (slower than `make asan` does it)
	@$(call build,asan)
	@source $(tools)/sanitizers.sh; export POLIS_FAILPOINTS_ALL=1; $(tools)/with_cluster.sh $(call ctest,asan,--tests-regex failpoints)

.PHONY: bench-stream
bench-stream: .deps-test build ## what 1,000 followers of /events/stream cost the ingest (BENCH_FOLLOWERS=, BENCH_RATE=)
	@POLIS_BIN_DIR=$(CURDIR)/$(bin) $(tools)/with_cluster.sh python3 tests/bench/followers_bench.py

.PHONY: bench-sinks
bench-sinks: .deps-bench .build-bench build ## Kafka sink beside rdkafka_performance, a dead destination among ten, replay beside the api's p99
	@$(tools)/deps.sh brokers
	@python3 tests/bench/sinks_bench.py

.PHONY: chaos-kafka
chaos-kafka: .deps-test .build-programs ## two consumers, 100,000 messages, each consumer killed ten times: stored exactly once?
	@cd tests/e2e && POLIS_BIN_DIR=$(CURDIR)/$(bin) POLIS_KAFKA_MESSAGES=100000 POLIS_KAFKA_KILLS=10 \
	    python3 -m unittest -v consumer_crash_test

.PHONY: chaos-workflows
chaos-workflows: .deps-test .build-programs ## 10,000 workflows of three kinds, PostgreSQL and programs killed for ten minutes: all end well? (CHAOS_SEED=)
	@cd tests/e2e && POLIS_BIN_DIR=$(CURDIR)/$(bin) POLIS_WORKFLOWS=10000 POLIS_WORKFLOW_SECONDS=600 \
	    POLIS_CRASH_SEED=$${CHAOS_SEED:-20261121} python3 -m unittest -v workflow_crash_test

##@ Code

.PHONY: lint
lint: .deps-build ## clang-format, shellcheck, clang-tidy (LINT_CHANGED=1: only what differs from origin)
	@$(tools)/deps.sh lint
	@$(call configure,release)
	@$(tools)/lint.sh

.PHONY: format
format: ## rewrite the C++ files with clang-format
	@$(tools)/deps.sh lint
	@$(tools)/lint.sh --fix

##@ Database (DATABASE_URL, else the private cluster in .polis/)

.PHONY: migrate
migrate: .deps-run .build-migrate ## apply all migrations
	@$(migrate) up

.PHONY: migrate-down
migrate-down: .deps-run .build-migrate ## undo the last migration
	@$(migrate) down

.PHONY: migrate-status
migrate-status: .deps-run .build-migrate ## the version of the database and what is pending
	@$(migrate) status

.PHONY: migrate-history
migrate-history: .deps-run .build-migrate ## what was applied, and when
	@$(migrate) history

.PHONY: migrate-create
migrate-create: .deps-build .build-migrate ## a new, empty pair of files: make migrate-create MESSAGE=add_index
	@[[ -n "$${MESSAGE:-}" ]] || { echo 'usage: make migrate-create MESSAGE=what_it_does' >&2; exit 2; }
	@$(migrate) create "$$MESSAGE"

.PHONY: psql
psql: ## SQL prompt on that database
	@$(tools)/with_database.sh $(SHELL) -c 'psql "$$DATABASE_URL"'

##@ Containers (docker compose)

.PHONY: setup
setup: ## build the image, start everything, wait until it is ready
	@$(compose) up --build --detach
	@echo "waiting for the API ..."
	@source $(tools)/settings.sh; url=http://127.0.0.1:$$(setting PORT 8000); \
	    curl -fsS --retry 60 --retry-delay 1 --retry-all-errors -o /dev/null "$$url/readyz" 2>/dev/null && echo "ready: $$url"

.PHONY: up
up: ## start everything in the background
	@$(compose) up --detach

.PHONY: up-logs
up-logs: ## start everything and follow the logs
	@$(compose) up

.PHONY: down
down: ## stop everything; the data stays
	@$(compose) down

.PHONY: down-volumes
down-volumes: ## stop everything and delete the data
	@$(compose) down --volumes

.PHONY: restart
restart: ## restart the API and the worker
	@$(compose) restart api worker

.PHONY: logs
logs: ## follow all logs
	@$(compose) logs --follow --tail 100

.PHONY: logs-api logs-worker logs-db
logs-api: ## follow the API's log
	@$(compose) logs --follow --tail 100 api

logs-worker: ## follow the worker's log
	@$(compose) logs --follow --tail 100 worker

logs-db: ## follow PostgreSQL's log
	@$(compose) logs --follow --tail 100 db

.PHONY: shell
shell: ## a shell in the API's container
	@$(compose) exec api /bin/bash

.PHONY: status
status: ## the containers and their health
	@$(compose) ps

# ---- steps that the targets above share; quick when there is nothing to do ----------------------------------------

.PHONY: .system .deps-build .deps-run .deps-test .deps-bench .build-programs .build-bench .build-migrate
.system: SHELL := /bin/sh
.system: .SHELLFLAGS := -ec
.system:
	@sh $(tools)/system.sh
.deps-build: .system
	@$(tools)/deps.sh build
.deps-run: .system
	@$(tools)/deps.sh build run
# Without a broker or a browser only their own tests are left out.
.deps-test: .system
	@$(tools)/deps.sh build run test --optional brokers console
.deps-bench: .system
	@$(tools)/deps.sh build run test bench
.build-bench:
	@$(call build,release,programs bench-programs)
.build-programs:
	@$(call build,release,programs)
.build-migrate:
	@$(call build,release,polis-migrate)
