# What a contributor types. The work itself stands in .ci/, so that a machine
# without make can call it too.

.PHONY: help test setup check lint fuzz bench foreign vuln demo

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' Makefile

test: ## install what the tests need, then run every check and every test
	@.ci/setup
	@.ci/check
	@.ci/test

setup: ## only install what the tests need
	@.ci/setup

check: ## formatting, vet, go.mod, lint; no tests
	@.ci/setup lint
	@.ci/check

lint: ## golangci-lint alone
	@.ci/setup lint
	@.ci/check lint

fuzz: ## every fuzz target for FUZZTIME each (10s)
	@.ci/fuzz

bench: ## every benchmark; what a Portico carries; deployments under load
	@.ci/setup
	@.ci/bench

foreign: ## Portico in front of a FHIR server of others', at length (minutes)
	@.ci/setup
	PORTICO_TEST_SERVICES=1 PORTICO_TEST_FOREIGN=1 go test -count=1 -timeout 20m -v -run TestAnAppGetsTheSameOverMedplum ./cmd/portico

vuln: ## known vulnerabilities in dependencies; needs the network
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

demo: ## an EHR, a provider, Portico and an app, all on loopback
	go run ./cmd/portico demo
