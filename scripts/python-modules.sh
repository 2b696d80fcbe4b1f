#!/bin/sh
# python-modules.sh REQUIREMENTS: installs the packages that the file lists below target/tools, unless they are there, and says
# where. In a folder of their own, one for each Python and each list: --target needs neither a virtual environment's package nor
# rights on the system's Python.
set -eu
list=$(cd "$(dirname -- "$1")" && pwd)/$(basename -- "$1")
cd "$(dirname -- "$0")/.."
tools=${CARGO_TARGET_DIR:-target}/tools
mkdir -p "$tools"
tools=$(CDPATH='' cd -- "$tools" && pwd)

key=$( (python3 -c 'import sys; print(sys.version)' && cat "$list") | sha256sum | cut -c1-16)
modules=$tools/python-$key
if [ ! -d "$modules" ]; then
  printf '%s\n' "fetching what $1 lists from the Python package index" >&2
  work=$(mktemp -d "$tools/.fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  # Others that the machine may have are no concern of a folder of its own, but pip speaks of them.
  python3 -m pip install --quiet --disable-pip-version-check --no-warn-script-location --root-user-action ignore \
    --only-binary :all: --no-deps --target "$work/modules" -r "$list" >&2
  # Two runs at the same time: the second finds it there and is content.
  mv -T "$work/modules" "$modules" 2>/dev/null || [ -d "$modules" ]
fi
printf '%s\n' "$modules"
