#!/bin/sh
# What reads the code without running it.
set -eu
cd "$(dirname -- "$0")/.."

step() { printf '\n== %s\n' "$*" >&2; }

step "formatting"
cargo fmt --all --check

step "clippy, warnings are errors"
cargo clippy --release --locked --workspace --all-targets -- -D warnings

if cargo deny --version >/dev/null 2>&1; then
  step "licences, advisories, bans"
  cargo deny check
else
  step "skipped: licences, advisories, bans (cargo install cargo-deny --locked)"
fi

if command -v shellcheck >/dev/null 2>&1; then
  step "shell scripts"
  # SC3044: a function of ours has the name of a command of bash.
  shellcheck --exclude=SC3044 scripts/*.sh tests/scripts/*.sh deploy/*.sh .ci/run
else
  step "skipped: shell scripts (apt-get install shellcheck)"
fi
