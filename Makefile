# What people and packagers type. Each target is one script; `make help` says what it does.
.DEFAULT_GOAL := help
.PHONY: help demo test lint install wheel bench clean

PREFIX ?= /usr/local
DESTDIR ?=

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 18

demo: ## sign and verify a real image in target/demo, without any server
	@scripts/demo.sh

test: ## fetch what the tests need and run all of them
	@scripts/test.sh

lint: ## formatting, clippy, types, docs, generated files, floors
	@scripts/lint.sh

install: ## header, libraries, pkg-config and CMake files under DESTDIR/PREFIX (default /usr/local)
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install.sh

wheel: ## one wheel in target/wheels
	@scripts/wheel.sh

bench: ## figures beside those of the peers
	@scripts/bench.sh

clean: ## remove everything that was built here; the cache of fetched tools stays
	@rm -rf target
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
