#!/bin/sh
# bench.sh [NAME…]: sets up the rival in a virtual environment under target/, then runs the benchmarks that are named
# (benches/README.md), all by default.
set -eu
cd "$(dirname -- "$0")/.."
venv=target/bench-venv
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check -r benches/requirements.txt
exec "$venv/bin/python" benches/bench.py --binary target/release/scriptorium \
  --model "${SCRIPTORIUM_MODELS_DIR:-models}/tiny.en" "$@"
