# make help lists what there is. The work is in .setup/ (what a machine needs) and e2e/.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

setup := .setup/setup.sh
tool := .setup/tool.sh
export BOTHY_BIN := $(CURDIR)/bin

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: setup ## from a bare machine to a real build in an environment, and gone again
	@go build -o bin/bothy-demo ./e2e/demo && exec bin/bothy-demo

.PHONY: demo-clean
demo-clean: ## remove what demo and setup made: environments, images, the cache, bin; no packages
	@if [[ -d e2e/demo ]]; then go run ./e2e/demo --clean; fi
	@.setup/clean.sh images cache bin

.PHONY: setup
setup: ## install or build what is missing: Docker, terraform, provider, images, binaries
	@$(setup)

.PHONY: build
build: ## bothy and bothyd, into bin/
	@$(setup) binaries

.PHONY: test
test: setup ## all tests, real engine and Terraform included
	@$(setup) postgres
	@# Never from the cache: it does not know the engine.
	@$(tool) gotestsum --format pkgname-and-test-fails -- -timeout 30m -count 1 ./...

.PHONY: test-short
test-short: ## the tests that need neither engine nor Terraform
	@$(setup) postgres
	@$(tool) gotestsum --format pkgname-and-test-fails -- -short -timeout 10m ./...

.PHONY: race
race: ## short tests under the race detector
	@$(setup) compiler postgres
	go test -race -short -timeout 20m ./internal/... ./provisioner/...

.PHONY: chaos
chaos: setup ## end daemons at every fail point, race and starve them, the long form: hours
	@go test ./e2e/chaos -v -long -timeout 6h

.PHONY: e2e-engines
e2e-engines: setup ## suites and demo with newer Docker engines, as root; ENGINES='-releases forky'
	@$(setup) roots
	@go build -o bin/bothy-demo ./e2e/demo && go build -o bin/bothy-engines ./e2e/engines && exec bin/bothy-engines $(ENGINES)

.PHONY: e2e-vm
e2e-vm: ## a whole Debian 13 with cgroup v2 and systemd in QEMU, as root: long
	@.setup/vm.sh

DURATION ?= 10m
.PHONY: soak
soak: setup ## keep two daemons busy with a fault each 30 s; DURATION=10m
	@go test ./e2e/chaos -v -run '^TestSoak$$' -duration $(DURATION) -timeout 0

.PHONY: mutate
mutate: setup ## remove each safeguard in turn; some test must notice
	@go run ./e2e/mutate

.PHONY: bench
bench: setup ## measure against doing it by hand; writes bench.json
	@go build -o bin/bothy-bench ./e2e/bench && exec bin/bothy-bench

.PHONY: verify
verify: ## all that must hold before a change goes in, engine left out
	@.setup/verify.sh

.PHONY: lint
lint: ## golangci-lint, layers included
	@$(tool) golangci-lint run ./...

.PHONY: fmt
fmt: ## format Go in place
	@$(tool) golangci-lint fmt ./...

.PHONY: generate
generate: ## run go generate
	go generate ./...

.PHONY: clean
clean: ## remove bin/ and what tests and benchmarks wrote here
	@.setup/clean.sh bin

.PHONY: clean-images
clean-images: ## remove the images that setup made
	@.setup/clean.sh images
