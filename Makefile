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
install: build ## install the binaries into $(DESTDIR)$(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/bin
	install bin/* $(DESTDIR)$(PREFIX)/bin
PREFIX ?= /usr/local

.PHONY: demo
demo: need-supervisord build ## break three workers and watch them being restarted
	@$(GO) run ./examples/demo

.PHONY: test
test: need-supervisord need-compiler lint unit fuzz cross ## all checks and tests

.PHONY: test-all
test-all: ## the same with what takes longer: 200 kills, longer fuzzing
	$(MAKE) test KILLS=200 FUZZTIME=60s TESTTIMEOUT=60m

.PHONY: lint
lint: ## format, vet, staticcheck, tidy
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "run gofmt -w on $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod staticcheck ./...
	$(GO) mod tidy -diff
	cd tools && $(GO) mod tidy -diff

KILLS ?= 20
TESTTIMEOUT ?= 10m
.PHONY: unit
unit: ## all tests, with the race detector, under each supervisord there is
	KILLS=$(KILLS) SUPERVISORDS="$$(command -v supervisord):$$(tools/newest-supervisord $(CACHE)/supervisor)" \
		$(GO) test -race -parallel 8 -timeout $(TESTTIMEOUT) ./...

FUZZTIME ?= 3s
.PHONY: fuzz
fuzz: ## each fuzz target for a short time
	@tools/fuzz $(FUZZTIME)

.PHONY: cross
cross: ## build for every system we support
	@for target in linux/amd64 linux/arm64 darwin/arm64 freebsd/amd64; do \
		echo "build for $$target"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build -o /dev/null ./... || exit 1; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) vet ./... || exit 1; \
	done

# What these commands need of Debian is installed where it is missing and apt-get
# may be used; else they say what to install.
.PHONY: need-supervisord need-compiler
need-supervisord:
	@tools/need supervisor 'command -v supervisord'
need-compiler: # for the race detector, and for the newest supervisord
	@tools/need gcc 'command -v gcc' libc6-dev 'echo "#include <stdlib.h>" | gcc -E -' \
		python3-venv 'python3 -c "import venv, ensurepip"'

.PHONY: clean
clean: ## remove what these made
	rm -rf bin .cache
