# make demo   shows the main job under a real supervisord
# make test   everything that must hold before a commit, in some minutes
# make help   lists the rest

SHELL := /bin/sh
GO ?= go
CACHE := $(CURDIR)/.cache

.PHONY: help
help: ## list these
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: build
build: ## build static binaries into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/ ./cmd/...

.PHONY: install
install: ## install what make build made into $(DESTDIR)$(PREFIX)/bin, man pages and completions beside it
	@set -- bin/*; if ! [ -e "$$1" ]; then echo "there is nothing in bin/: run make build first" >&2; exit 1; fi
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install bin/* "$(DESTDIR)$(PREFIX)/bin"
	@for pair in man=man/man1 completions/bash=bash-completion/completions \
		completions/zsh=zsh/site-functions completions/fish=fish/vendor_completions.d; do \
		to="$(DESTDIR)$(PREFIX)/share/$${pair#*=}"; \
		echo "install docs/$${pair%=*} into $$to"; \
		install -d "$$to" && install -m 644 docs/$${pair%=*}/* "$$to" || exit 1; \
	done
PREFIX ?= /usr/local

.PHONY: docs
docs: ## write what is in docs from the options of the programs and the keys of the file
	@tools/docs "$(CACHE)/docs"
	@rm -rf docs/cli docs/man docs/completions docs/schema docs/config.md docs/*.schema.json && mkdir -p docs && cp -R "$(CACHE)"/docs/* docs

.PHONY: docs-diff
docs-diff: ## fail if they are not what make docs writes
	@tools/docs "$(CACHE)/docs"
	@stale=; for part in cli man completions schema config.md supervisor-checks.schema.json; do diff -qr docs/$$part "$(CACHE)/docs/$$part" || stale=1; done; \
		if [ -n "$$stale" ]; then echo "docs is not what the programs say: run make docs"; exit 1; fi

.PHONY: demo
demo: need-supervisord build ## break three workers and watch them being restarted
	@$(GO) run ./examples/demo

# To compile takes longer than to run: all is compiled once, with the race detector.
test unit: export GOFLAGS += -race
test unit: export GORACE = atexit_sleep_ms=0
.PHONY: test
test: need-supervisord need-compiler need-shells need-servers lint docs-diff together ## all checks and tests

.PHONY: test-all
test-all: ## the same with what takes longer: 200 kills, 20,000 ticks, 500 sequences of faults, longer fuzzing, a real Kafka
	$(MAKE) test WHOLE='linux/amd64 linux/arm64 darwin/arm64 freebsd/amd64' KILLS=200 OUTAGE=60s TICKS=20000 SEQUENCES=500 FUZZTIME=60s TESTTIMEOUT=60m
	$(MAKE) test-kafka

.PHONY: test-kafka
test-kafka: ## the tests of sinks/kafka with a real Apache Kafka, or with that of KAFKA_BROKERS=HOST:PORT,...
	@if [ -z "$$KAFKA_BROKERS" ]; then KAFKA_JARS="$$(tools/kafka "$(CACHE)/kafka")" || exit 1; export KAFKA_JARS; \
		[ -n "$$KAFKA_JARS" ] || exit 0; fi; \
		$(GO) test -race -v -count 1 -timeout $(TESTTIMEOUT) ./sinks/kafka

.PHONY: lint
lint: ## format, vet, staticcheck, tidy
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "run gofmt -w on $$unformatted"; exit 1; fi
	$(GO) vet ./...
	"$$(GOFLAGS= $(GO) tool -modfile=tools/go.mod -n staticcheck)" ./...
	$(GO) mod tidy -diff
	cd tools && $(GO) mod tidy -diff

KILLS ?= 10
OUTAGE ?= 1s
TICKS ?= 500
SEQUENCES ?= 12
# These come first, so that nothing waits for one of them at the end.
LONGEST := ./internal/e2e ./runner ./internal/conformance ./supervisor/... ./internal/soak ./internal/migrate ./internal/cli ./internal/config
TESTTIMEOUT ?= 20m
.PHONY: unit
unit: ## all tests, with the race detector, under each supervisord there is
	KILLS=$(KILLS) OUTAGE=$(OUTAGE) TICKS=$(TICKS) SEQUENCES=$(SEQUENCES) SUPERVISORDS="$$(command -v supervisord):$$(tools/newest-supervisord "$(CACHE)/supervisor")" \
		GOSUPERVISORD="$$(tools/go-supervisord "$(CACHE)/go-supervisord")" \
		PYTHON_SUPERVISOR_CHECKS="$$(tools/python-supervisor-checks "$(CACHE)/supervisor_checks")" \
		SUPERLANCE="$$(tools/superlance "$(CACHE)/superlance")" \
		$(GO) test -vet off -p 3 -parallel 8 -timeout $(TESTTIMEOUT) $(LONGEST) ./...
	GOFLAGS= CGO_ENABLED=0 $(GO) test -trimpath -vet off -run TestEngineKeepsItsPolicy ./runner

# Tests wait for most of their time. What only computes has that time, and no more.
.PHONY: together
together:
	@mkdir -p "$(CACHE)"; nice -n 19 $(MAKE) fuzz cross >"$(CACHE)/fuzz-cross.log" 2>&1 & other=$$!; \
		trap 'kill $$other 2>/dev/null' INT TERM EXIT; \
		$(MAKE) unit || exit 1; \
		wait $$other; status=$$?; cat "$(CACHE)/fuzz-cross.log"; exit $$status

.PHONY: conformance
conformance: need-compiler ## compare our programs with those of the Python package
	@python="$$(tools/python-supervisor-checks "$(CACHE)/supervisor_checks")"; \
		[ -n "$$python" ] || { echo "there is nothing to compare with"; exit 1; }; \
		PYTHON_SUPERVISOR_CHECKS="$$python" $(GO) test -race -parallel 8 -timeout $(TESTTIMEOUT) ./internal/conformance

.PHONY: bench
bench: need-supervisord ## measure what the README says of speed and size, in eight minutes
	FIGURES=1 $(GO) test -v -count 1 -timeout 20m -run TestFigures ./internal/bench

# A number of runs: when it is a time, Go's fuzzing fails now and then as it ends.
FUZZTIME ?= 300x
.PHONY: fuzz
fuzz: ## each fuzz target for a short time, or FUZZTIME=60s
	@tools/fuzz $(FUZZTIME)

# The tests build for this system; what Linux does not have, the files that go list ignores
# there, is the same for all others, and vetted for one. To link all programs would take
# long: one of the small ones has all packages of the others in it, and databases and
# brokers, which take most of the time, are in supervisor_checks alone. WHOLE are the
# systems for which that is built, too.
WHOLE ?= darwin/arm64
.PHONY: cross
cross: ## build for every system we support, and vet what only others have
	@for target in linux/amd64 linux/arm64 darwin/arm64 freebsd/amd64; do \
		programs=./cmd/supervisor_complex_check; \
		case " $(WHOLE) " in *" $$target "*) programs="$$programs ./cmd/supervisor_checks" ;; esac; \
		echo "build for $$target: $$programs"; \
		GOFLAGS= CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build $(UNOPTIMIZED) -o /dev/null $$programs || exit 1; \
	done
	@packages=$$(GOFLAGS= $(GO) list -f '{{if .IgnoredGoFiles}}{{.ImportPath}}{{end}}' ./...); \
		echo "vet for darwin/arm64:" $$packages; \
		GOFLAGS= CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) vet $(UNOPTIMIZED) $$packages
UNOPTIMIZED := -gcflags='all=-N -l'

# What these commands need of Debian is installed where it is missing and apt-get
# may be used; else they say what to install.
.PHONY: need-supervisord need-compiler need-shells need-servers
need-supervisord:
	@tools/need supervisor 'command -v supervisord'
need-compiler: # for the race detector, and for the newest supervisord
	@tools/need gcc 'command -v gcc' libc6-dev 'echo "#include <stdlib.h>" | gcc -E -' \
		python3-venv 'python3 -c "import venv, ensurepip"'

need-shells: # for the completions, and man for the man pages
	@tools/need zsh 'command -v zsh' fish 'command -v fish' bash-completion 'test -e /usr/share/bash-completion/bash_completion' \
		man-db 'command -v man' || echo "SKIPPED: what tests of completions and man pages need these for" >&2

need-servers: # for the probes
	@tools/need redis-server 'command -v redis-server' postgresql 'ls /usr/lib/postgresql/*/bin/initdb' \
		mariadb-server 'command -v mariadbd' etcd-server 'command -v etcd' nginx-light 'command -v nginx' \
		|| echo "SKIPPED: what tests of probes need these for" >&2

.PHONY: clean
clean: ## remove what these made
	rm -rf bin .cache
