# The front door: `make` lists what there is. CI runs `make check`, nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Arguments: ARGS="..." goes to the broker (run), to vitest (test*) and to the benchmark (bench).
ARGS ?=
# What `buf breaking` compares with: a git ref; worked out by .ci/breaking-base when not given; `none` skips.
BREAKING_AGAINST ?=

BIN := node_modules/.bin
STAMP := node_modules/.setup-stamp
VITEST := $(BIN)/vitest run --config test/vitest.config.ts
# Run from source: this condition makes @taskqueue/sdk resolve to sdk/index.ts.
FROM_SOURCE := node --conditions=taskqueue-source --import tsx

.PHONY: help setup setup-redis gen build run \
	test test-unit test-script test-conformance test-cluster test-differential test-engine test-e2e test-chaos chaos chaos-table test-docs test-tidy \
	bench bench-peers lint format types verify check clean

help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  ARGS="..." goes to the broker (run), to vitest (test, test-*) and to the benchmark (bench).'

setup: $(STAMP) ## install the npm packages, when the lockfile has changed

$(STAMP): package-lock.json
	npm ci
	@touch $@ # npm's own postinstall does it too, unless scripts are switched off

setup-redis: ## install redis-server, when there is none (Debian and Ubuntu)
	@.ci/install-redis

gen: $(STAMP) ## regenerate sdk/gen and the descriptor set from proto/
	$(BIN)/buf generate
	$(BIN)/buf build --as-file-descriptor-set --output server/grpc/descriptor.binpb

build: $(STAMP) ## compile server and sdk to their dist folders
	$(BIN)/tsc -b server
	cd server && node copy-assets.mjs

run: build ## build, then start a broker on the embedded store; ARGS="--help" shows the options
	@echo
	@echo '  Starting a broker on 127.0.0.1:50051, with its data in ./taskqueue-data. Ctrl-C stops it.'
	@echo '  In another terminal:'
	@echo '    node server/dist/main.js enqueue clicks 640 480   put a task in'
	@echo '    node server/dist/main.js stats                    what is there'
	@echo '    node server/dist/main.js watch                    what happens'
	@echo '    node server/dist/main.js simulate --duration 10s  producers and workers at play, on a broker of their own'
	@echo '    node server/dist/main.js --help                   the rest'
	@echo '  README.md has a worker in ten lines, and the same by buf curl or grpcurl.'
	@echo
	exec node server/dist/main.js serve $(ARGS)

test: $(STAMP) setup-redis ## run every test
	$(VITEST) $(ARGS)

test-unit: $(STAMP) ## pure code: needs nothing
	$(VITEST) --project unit $(ARGS)

test-script: $(STAMP) setup-redis ## one Lua script at a time, against Redis
	$(VITEST) --project script $(ARGS)

test-conformance: $(STAMP) setup-redis ## the store contract, against every store
	$(VITEST) --project conformance $(ARGS)

test-cluster: $(STAMP) setup-redis ## the store contract, against a Redis Cluster of three nodes
	TASKQUEUE_TEST_STORES=redis-cluster $(VITEST) --project conformance $(ARGS)

test-differential: $(STAMP) setup-redis ## random sequences: the model against every store
	$(VITEST) --project differential $(ARGS)

test-engine: $(STAMP) ## the broker's agents on a manual clock
	$(VITEST) --project engine $(ARGS)

test-e2e: $(STAMP) setup-redis ## a real broker, spoken to over gRPC
	$(VITEST) --project e2e $(ARGS)

test-chaos: $(STAMP) setup-redis ## faults against the promises
	$(VITEST) --project chaos $(ARGS)

# Arguments of chaos and chaos-table; ARGS="--faults=redis-kill --keep" narrows it down, see test/chaos/main.ts.
SEED ?=
MINUTES ?= 1
SEEDS ?= 3

chaos: $(STAMP) setup-redis ## faults for long: SEED=7 MINUTES=10
	$(FROM_SOURCE) test/chaos/main.ts --seed='$(SEED)' --minutes=$(MINUTES) $(ARGS)

chaos-table: $(STAMP) setup-redis ## what each fault costs, for docs/operations.md: SEEDS=20
	$(FROM_SOURCE) test/chaos/main.ts --table --seed='$(SEED)' --seeds=$(SEEDS) $(ARGS)

test-docs: $(STAMP) ## the documents' code and tables
	$(VITEST) --project docs $(ARGS)

test-tidy: $(STAMP) ## the house style that tools do not check
	$(VITEST) --project tidy $(ARGS)

bench: build setup-redis ## measure, in 5 minutes; ARGS=all everything, ARGS="name --help" one benchmark
	node --import tsx test/bench/main.ts $(ARGS)

bench-peers: build setup-redis ## measure beside BullMQ, beanstalkd and asynq, installing them when they are missing
	node --import tsx test/bench/peers/main.ts $(ARGS)

lint: $(STAMP) ## biome and buf lint
	$(BIN)/biome check --error-on-warnings .
	$(BIN)/buf lint

format: $(STAMP) ## format, and apply the safe fixes
	$(BIN)/biome check --write .
	$(BIN)/buf format --write --exclude-path proto/grpc proto

types: $(STAMP) ## type-check server, sdk and test in one go
	$(BIN)/tsc -p test

verify: $(STAMP) ## the protos: format, compatibility, and no drift in generated code
	$(BIN)/buf format --diff --exit-code --exclude-path proto/grpc proto
	@BREAKING_AGAINST='$(BREAKING_AGAINST)' .ci/breaking
	@.ci/drift

check: verify lint types build test ## everything CI runs

clean: ## remove what is built
	rm -rf server/dist sdk/dist
