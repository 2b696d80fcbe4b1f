# Everything here can be run again at any time: what is done already is left alone.
# One profile for all (release), so that the speech engine's C++ is compiled once.

SHELL := /bin/sh
export SCRIPTORIUM_MODELS_DIR ?= $(CURDIR)/models
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
PROGRAM := target/release/scriptorium
SAMPLE := tests/fixtures/sample.flac

.DEFAULT_GOAL := help
.PHONY: help demo run up down build image model setup test stack chaos api fuzz bench lint docs

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## install what is missing, build, fetch a model, and transcribe a sample recording through the whole chain
	@scripts/demo.sh $(SAMPLE)

run: build model ## start the server on 127.0.0.1:8787 (options: SCRIPTORIUM_… variables, docs/config.md)
	@exec $(PROGRAM) serve

up: build model ## RabbitMQ, Redis, S3 and two of each role on this machine: http://127.0.0.1:8787 and :8788; see make down
	@scripts/stack.sh up --program $(PROGRAM) $(if $(BASE_PORT),--base-port $(BASE_PORT))

stack: build model ## make up and make down themselves, on ports of their own: killed roles, kept data, nothing left
	@PROGRAM=$(PROGRAM) tests/scripts/stack.sh $(BASE_PORT)

down: ## end what make up has started, data included (KEEP=1 keeps the data)
	@scripts/stack.sh down $(if $(KEEP),--keep)

build: setup ## the program: target/release/scriptorium
	@cargo build --release --locked -p scriptorium
	@scripts/place.sh "$(TARGET)/release/scriptorium" $(PROGRAM)

image: ## the container image scriptorium:dev, by Docker, Podman or Buildah (IMAGE=name, MODEL=base: scripts/image.sh)
	@MODEL="$(MODEL)" scripts/image.sh $(IMAGE)

model: setup ## fetch the default speech model (tiny.en, 75 MB)
	@scripts/model.sh tiny.en

setup: ## install missing build tools by apt (as root or with sudo)
	@scripts/setup.sh

test: setup model ## formatting, lints, and all tests
	@scripts/setup.sh jq:jq openssl:openssl
	@scripts/model.sh base
	@scripts/test.sh

chaos: build model ## kill roles and services while jobs run, CHAOS_SECONDS (300) with new seeds; CHAOS_SEED=n replays one
	@CHAOS_SECONDS="$(CHAOS_SECONDS)" CHAOS_SEED="$(CHAOS_SEED)" scripts/chaos.sh

api: build model ## ask a server for all that its document says, and for what it does not: API_EXAMPLES (300), API_SEED
	@SCRIPTORIUM_OPENAPI_EXAMPLES="$(or $(API_EXAMPLES),300)" SCRIPTORIUM_OPENAPI_SEED="$(API_SEED)" \
		cargo test --release --locked -p scriptorium-tests --test openapi -- --nocapture

fuzz: setup ## feed spoiled recordings to the scanners, and spoiled forms to their reader, FUZZ_SECONDS (600) each
	@scripts/fuzz.sh

bench: build model ## measure: words right, speed, delay, memory, how it scales
	@scripts/bench.sh

lint: setup ## formatting, clippy, licences and advisories, shell scripts
	@scripts/lint.sh

docs: ## write docs/config.md, docs/formats.md and docs/openapi.json anew from the program and its tests
	@SCRIPTORIUM_WRITE_DOCS=1 cargo test --release --locked -p scriptorium --test cli reference
	@SCRIPTORIUM_WRITE_DOCS=1 cargo test --release --locked -p scriptorium-gateway --test http the_committed_document
	@SCRIPTORIUM_WRITE_DOCS=1 cargo test --release --locked -p scriptorium-media --test table the_page_of_formats
