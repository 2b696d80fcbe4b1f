#!/bin/sh
# setup.sh [COMMAND:PACKAGE…]: installs what building and running needs and this machine lacks, and what is named: by apt, as
# root or with sudo. Says what it does.
# Rust is not installed here, but its absence is told.
set -eu

say() { printf '%s\n' "setup: $*" >&2; }

# command:package
missing=
for pair in g++:g++ gcc:gcc make:make cmake:cmake curl:curl python3:python3 ffmpeg:ffmpeg "$@"; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
python3 -m pip --version >/dev/null 2>&1 || missing="$missing python3-pip"
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing="$missing ca-certificates"

if [ -n "$missing" ]; then
  if ! command -v apt-get >/dev/null 2>&1; then
    say "please install:$missing"
    exit 1
  fi
  sudo=
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
      say "please install as root: apt-get install$missing"
      exit 1
    fi
    sudo=sudo
  fi
  say "installing$missing"
  # shellcheck disable=SC2086 # a list of words
  install() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null; }
  install 2>/dev/null || { $sudo apt-get update -qq && install; }
fi

if ! command -v cargo >/dev/null 2>&1; then
  say "Rust is missing: install it from https://rustup.rs (1.95 or newer) and run this again"
  exit 1
fi
