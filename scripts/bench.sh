#!/bin/sh
# bench.sh [NAME…]: sets up the rival in a virtual environment under target/, then runs the benchmarks that are named
# (benches/README.md), all by default. `decode` measures decoding alone against ffmpeg on one thread.
set -eu
cd "$(dirname -- "$0")/.."
if [ $# = 0 ] || [ "$1" = decode ]; then
  cargo test --release --locked -p scriptorium-media --test speed -- --ignored --nocapture
  if [ $# -gt 0 ]; then exit 0; fi
fi
venv=target/bench-venv
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check -r benches/requirements.txt
exec "$venv/bin/python" benches/bench.py --binary target/release/scriptorium \
  --model "${SCRIPTORIUM_MODELS_DIR:-models}/tiny.en" "$@"
