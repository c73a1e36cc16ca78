SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

# Each fuzz test runs this long in `make fuzz`.
FUZZTIME ?= 10s
# Benchmarks and packages of `make bench`.
BENCH ?= .
PKG ?= ./...

STATICCHECK := go tool -modfile=tools/go.mod staticcheck

# Finds or installs the real parts the tests use (InfluxDB, ipmi_sim, ipmitool, chromium) and puts them into the environment. The
# assignment of its own makes its failure ours: eval "$(...)" would hide it.
REAL_PARTS := parts=$$(tools/real-parts.sh); eval "$$parts"

# The race detector watches all of our code, and SQLite's driver. SQLite itself is C made into Go: its memory is its own, it locks for itself,
# and watching it is most of the work of a test that stores something. Only packages without generic functions may be left out: the linker
# keeps one copy of those for the whole program (sync.Map's, say), and unwatched it would be taken for a race.
UNWATCHED := modernc.org/sqlite/lib modernc.org/libc modernc.org/memory
RACE := -race $(UNWATCHED:%=-gcflags=%=-race=false)

# Where processes are killed at random moments. DEWLINE_KILLS is how often, in all of them together (50 unless it is set), and
# DEWLINE_SEED makes the moments of an earlier run, which told its seed.
KILLS := ./store/sqlite ./collector ./cmd/dewline ./store/storetest

# The packages whose tests take longest begin first, so that none runs alone at the end. Much of what they do is waiting for real
# processes, so that three of them keep two cores busy.
LONGEST := ./cmd/dewline ./store/sqlite ./collector ./drivers/redfish/... ./report/verification/truth

# Whose tests are long computations on recordings of real machines: all of them without the race detector, a share of them with it.
RECORDINGS := ./drivers/redfish/coverage

.PHONY: help build test check lint long bench fuzz compatibility

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile

build: ## ./dewline, one static binary
	CGO_ENABLED=0 go build -trimpath -o dewline ./cmd/dewline

test: ## all tests under the race detector, against real parts; with CI=true a missing part fails
	$(REAL_PARTS); go test -timeout 25m $(RECORDINGS) && go test $(RACE) -p 3 -timeout 25m $(LONGEST) ./...

lint: ## formatting, vet, modernisers, staticcheck
	@out=$$(gofmt -l .); if [[ -n $$out ]]; then echo "run gofmt -w on:"; echo "$$out"; exit 1; fi
	go vet ./...
	go fix -diff ./...
	$(STATICCHECK) ./...

check: lint test ## lint and test: what must pass before a commit

long: ## 1,000 kills, all tests twice in changing order, what make test only samples, every fuzz test for a minute
	$(REAL_PARTS); DEWLINE_KILLS=$${DEWLINE_KILLS:-1000} go test $(RACE) -count=1 -v -run '^TestKill' -timeout 40m $(KILLS)
	$(REAL_PARTS); go test $(RACE) -shuffle=on -count=2 -skip '^TestKill' -timeout 30m ./...
	$(REAL_PARTS); DEWLINE_LONG=1 go test -count=1 -skip '^TestKill' -timeout 60m ./...
	$(MAKE) fuzz FUZZTIME=60s

bench: ## benchmarks; BENCH=regexp and PKG=./path choose
	$(REAL_PARTS); go test -run '^$$' -bench '$(BENCH)' -benchmem $(PKG)

compatibility: ## docs/COMPATIBILITY.md, from the recordings in DEWLINE_CAPTURES
	$(REAL_PARTS); go test ./drivers/redfish/coverage -run TestCompatibilityPage -count=1 -update

fuzz: ## every fuzz test for FUZZTIME
	tools/fuzz.sh $(FUZZTIME)
