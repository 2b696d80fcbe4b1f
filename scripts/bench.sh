#!/bin/sh
# The figures of the README. BENCH_AUDIO names a folder with manifest.tsv for the word error rate on more than the sample.
set -eu
cd "$(dirname -- "$0")/.."
exec python3 -B benches/bench.py "$@"
