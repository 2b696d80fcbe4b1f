#!/bin/sh
# Jobs on the roles and real services while all of them die, chosen by a seed; prints the figures (tests/tests/chaos.rs).
#
#   scripts/chaos.sh        runs of at most 150 s of faults each, with new seeds, until CHAOS_SECONDS (300) are over
#
# CHAOS_SEED replays one seed, and makes one run of CHAOS_SECONDS. A run that fails ends it all, and leaves the roles' logs
# in target/chaos.
set -eu
cd "$(dirname -- "$0")/.."

seconds=${CHAOS_SECONDS:-300} one=${CHAOS_SEED:-}
for number in "$seconds" "${one:-0}"; do
  case $number in '' | *[!0-9]*) printf 'chaos.sh: "%s" is not a number\n' "$number" >&2; exit 2 ;; esac
done
scripts/services-install.sh
rm -rf target/chaos
mkdir -p target/chaos
export SCRIPTORIUM_TEST_SERVICES=1 SCRIPTORIUM_CHAOS_LOGS="$PWD/target/chaos"

run() { # SEED SECONDS
  printf '\n== chaos with seed %s\n' "$1" >&2
  SCRIPTORIUM_CHAOS_SEED=$1 SCRIPTORIUM_CHAOS_SECONDS=$2 \
    cargo test --release --locked --quiet -p scriptorium-tests --test chaos -- --nocapture >target/chaos/run.log 2>&1 || {
    cat target/chaos/run.log >&2
    printf 'chaos.sh: replay with: make chaos CHAOS_SEED=%s CHAOS_SECONDS=%s\n' "$1" "$2" >&2
    exit 1
  }
  grep '^chaos:.*mismatches' target/chaos/run.log
}

if [ -n "$one" ]; then
  run "$one" "$seconds"
  exit 0
fi
left=$seconds
while [ "$left" -gt 0 ]; do
  length=$((left < 150 ? left : 150))
  run "$(od -An -N 4 -tu4 /dev/urandom | tr -d ' ')" "$length"
  left=$((left - length))
done
