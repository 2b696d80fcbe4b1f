#!/bin/sh
# Formatting, lints, and all tests. Needs the default model and ffmpeg (`make test` sees to both).
set -eu
cd "$(dirname -- "$0")/.."

step() { printf '\n== %s\n' "$*" >&2; }

step "formatting"
cargo fmt --all --check

step "clippy, warnings are errors"
cargo clippy --release --locked --workspace --all-targets -- -D warnings

step "unit, property, contract and end-to-end tests"
# nextest shows more and keeps tests apart in processes; cargo's own runner runs the same tests.
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --release --locked --workspace --no-fail-fast
  step "examples in the documentation"
  cargo test --release --locked --workspace --doc --quiet
else
  cargo test --release --locked --workspace --no-fail-fast
fi

step "the services that the roles need: started, killed, started again"
tests/scripts/services.sh

step "all is well"
