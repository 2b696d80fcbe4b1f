#!/bin/sh
# Runs every fuzz target of worker/media and of the gateway for FUZZ_SECONDS each (default 600), beginning with the committed
# seeds: libFuzzer, guided by coverage, on the compiler that builds the program. `fuzz.sh check` only
# sees whether they would build.
set -eu
cd "$(dirname -- "$0")/.."

seconds=${FUZZ_SECONDS:-600}
target_dir=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
# What cargo-fuzz passes, but for the sanitizer, which needs a nightly compiler. With --target only what is fuzzed gets it.
flags='--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1'
for option in level=4 inline-8bit-counters pc-table trace-compares; do
  flags="$flags -Cllvm-args=-sanitizer-coverage-$option"
done

if [ "${1:-}" = check ]; then
  for folder in worker/media gateway; do
    RUSTFLAGS='--cfg fuzzing' cargo check --release --locked --target-dir "$target_dir" --manifest-path "$folder/fuzz/Cargo.toml"
  done
  exit
fi
for folder in worker/media gateway; do
  RUSTFLAGS=$flags cargo build --release --locked --target "$host" --target-dir "$target_dir" --manifest-path "$folder/fuzz/Cargo.toml"
done

for folder in worker/media gateway; do
  for target in "$folder"/fuzz/fuzz_targets/*.rs; do
    name=$(basename "$target" .rs)
    printf '\n== %s, %s s\n' "$name" "$seconds" >&2
    (
      cd "$folder/fuzz"
      mkdir -p "corpus/$name" artifacts
      # The target that takes all kinds begins with the seeds of all.
      seeds=seeds/$name
      if [ -d "$seeds" ]; then set -- "$seeds"; else set -- seeds/*; fi
      "$target_dir/$host/release/$name" "corpus/$name" "$@" \
        "-max_total_time=$seconds" -artifact_prefix=artifacts/ -rss_limit_mb=1024 -timeout=20 -print_final_stats=1
    )
  done
done
