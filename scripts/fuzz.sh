#!/bin/sh
# Runs every fuzz target of worker/media and of the gateway for FUZZ_SECONDS each (default 600), beginning with the committed
# seeds.
set -eu
cd "$(dirname -- "$0")/.."

if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
  printf '%s\n' "fuzz: this needs a nightly toolchain and cargo-fuzz: rustup toolchain install nightly; cargo install cargo-fuzz" >&2
  exit 1
fi
seconds=${FUZZ_SECONDS:-600}
for folder in worker/media gateway; do
  for target in "$folder"/fuzz/fuzz_targets/*.rs; do
    name=$(basename "$target" .rs)
    printf '\n== %s, %s s\n' "$name" "$seconds" >&2
    (
      cd "$folder/fuzz"
      mkdir -p "corpus/$name"
      cargo +nightly fuzz run --fuzz-dir . "$name" "corpus/$name" seeds/* -- "-max_total_time=$seconds" -rss_limit_mb=1024 -timeout=20
    )
  done
done
