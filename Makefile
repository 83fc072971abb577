# One door to everything. It needs Go and git; gcc only for the race detector.

.DEFAULT_GOAL := help
SHELL := /bin/bash

GO      ?= go
TOOL    := $(GO) tool -modfile=tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
ARGS    ?=

# Git refuses a checkout that belongs to somebody else; then Go stamps no commit into the binary.
ifneq ($(shell git status >/dev/null 2>&1 && echo fine),fine)
export GOFLAGS := $(GOFLAGS) -buildvcs=false
endif

# The race detector needs a C compiler. Without one the tests run all the same, and say so.
CC_FOUND := $(shell command -v $$($(GO) env CC))
ifeq ($(CC_FOUND),)
RACE  :=
CGO   := 0
else
RACE  := -race
CGO   := 1
endif

.PHONY: help build demo seed test check e2e vet lint vuln generate generated bench microbench fuzz clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/drawbridge, static and reproducible
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/drawbridge ./cmd/drawbridge

demo: build seed ## Tell the whole story, commit to production (ARGS=--exit ends it by itself)
	bin/drawbridge demo --seed-cache "$(SEED_CACHE)" $(ARGS)

# What the sample's build, vet and tests compile of Go's own library, once per machine: the
# demo's first run copies it instead of compiling for half a minute.
SEED_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/drawbridge/go-build
seed:
	@mkdir -p "$(SEED_CACHE)" && cd examples/shop && \
	export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOCACHE="$(SEED_CACHE)" && \
	$(GO) vet ./... && $(GO) test -coverprofile=/dev/null ./... >/dev/null && $(GO) build -trimpath -o /dev/null .

test: ## Run every test, with the race detector where there is a C compiler
	@$(if $(RACE),,echo "make: no C compiler: the tests run without the race detector (apt-get install gcc libc6-dev)" >&2)
	CGO_ENABLED=$(CGO) $(GO) test $(RACE) -shuffle=on -timeout 45m ./...

check: build vet lint vuln generated test ## Everything that must hold before a change lands

e2e: ## Run the user stories alone (test runs them too)
	CGO_ENABLED=$(CGO) $(GO) test $(RACE) -timeout 45m ./e2e/...

vet: ## Run go vet
	$(GO) vet ./...

lint: ## Run the linters of .golangci.yml
	$(TOOL) golangci-lint run ./...

# The database of vulnerabilities is on the network: where it cannot be reached that is said
# and is no failure; a vulnerability that was found is one.
vuln: ## Look for known vulnerabilities in what the binary calls
	@$(TOOL) govulncheck -version >/dev/null
	@out=$$($(TOOL) govulncheck ./... 2>&1); code=$$?; \
	if [ $$code -ne 0 ] && grep -q '^govulncheck: fetching vulnerabilities: ' <<<"$$out"; then \
		echo "make vuln: skipped, the vulnerability database cannot be reached" >&2; exit 0; fi; \
	echo "$$out"; exit $$code

generate: ## Make the SQL code again from its queries
	@for config in $$(git ls-files '*sqlc.yaml'); do echo "sqlc generate: $$config"; $(TOOL) sqlc generate -f $$config || exit 1; done

generated: ## Fail when the SQL code is not what its queries make
	@for config in $$(git ls-files '*sqlc.yaml'); do $(TOOL) sqlc diff -f $$config || { echo "$$config: run make generate" >&2; exit 1; }; done

bench: build ## Measure the whole against plain baselines (ARGS="-only push -write docs/benchmarks.md")
	$(GO) run ./bench -program bin/drawbridge $(ARGS)

BENCH   ?= .
microbench: ## Run the packages' benchmarks (BENCH=REGEXP chooses)
	@CGO_ENABLED=0 $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem \
		$$(grep -rl '^func Benchmark' --include=*_test.go internal | xargs -n 1 dirname | sort -u | sed 's|^|./|')

FUZZTIME ?= 30s
fuzz: ## Fuzz each target for FUZZTIME (30s)
	@grep -rlE '^func Fuzz' --include=*_test.go internal | sort | while read -r file; do \
		for name in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/p' $$file); do \
			echo "$$name in $$file"; \
			$(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) ./$$(dirname $$file) || exit 1; \
		done; \
	done

clean: ## Remove what was built
	rm -rf bin coverage.out
