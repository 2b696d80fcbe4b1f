#!/bin/sh
# place.sh BUILT WANTED: the program lies where users look for it, also when cargo builds elsewhere (CARGO_TARGET_DIR).
set -eu
if [ "$(realpath -- "$1")" = "$(realpath -- "$2")" ]; then
  exit 0
fi
mkdir -p "$(dirname -- "$2")"
# A new file, so that a running program keeps its own.
cp -f --remove-destination "$1" "$2"
