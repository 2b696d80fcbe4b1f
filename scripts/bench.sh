#!/bin/sh
# bench.sh [NAME…]: runs the benchmarks that are named (benches/README.md), all by default. Those in Python need the rival,
# which is set up in a virtual environment under target/. BASE_PORT is the first of the ports of `events` (28600).
set -eu
cd "$(dirname -- "$0")/.."
target=${CARGO_TARGET_DIR:-target}

# Decoding alone against ffmpeg, on one thread.
decode() { cargo test --release --locked -p scriptorium-media --test speed -- --ignored --nocapture; }

# Roles and services of its own; workers that only sleep.
scale() {
  scripts/services-install.sh
  cargo build --release --locked --workspace --bins --examples
  "$target/release/examples/scale"
}

# A Redis of its own; the embedded store in a file on the disk of target/.
events() {
  scripts/services-install.sh
  cargo build --release --locked --workspace --example event_cost
  services=$(mktemp -d)
  trap 'scripts/services.sh stop "$services" --wipe; rm -rf "$services"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  scripts/services.sh start-one redis "$services" --base-port "${BASE_PORT:-28600}"
  # shellcheck source=/dev/null
  (. "$services/env" && exec "$target/release/examples/event_cost" "$SCRIPTORIUM_REDIS_URL")
  "$target/release/examples/event_cost" "$target"
}

[ $# -gt 0 ] || set -- decode events scale wer identical tail memory whole speed times
others=
for name in "$@"; do
  case $name in
    decode) decode ;;
    scale) scale ;;
    events) (events) ;;
    *) others="$others $name" ;;
  esac
done
[ -n "$others" ] || exit 0
venv=target/bench-venv
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check -r benches/requirements.txt
# shellcheck disable=SC2086 # a list of words
exec "$venv/bin/python" benches/bench.py --binary target/release/scriptorium \
  --model "${SCRIPTORIUM_MODELS_DIR:-models}/tiny.en" $others
