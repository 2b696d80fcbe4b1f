#!/bin/sh
# image.sh [NAME[:TAG]]: builds the container image (deploy/Dockerfile) with Docker, Podman or Buildah, whichever is there.
#
#   NAME      scriptorium:dev if none is given, which deploy/compose.yaml and values-dev.yaml of the chart take
#   MODEL     the speech model that is baked in (tiny.en), or `none`
#   STAGE     `models` builds the small image that fills volumes with models; its name is then scriptorium-models:dev
#   JOBS      compilers at once (all cores)
#   TOOL      docker, podman or buildah (the first that works)
#   BUILD_BASE, RUN_BASE    other base images than the Dockerfile names
#
# The first build takes as long as `make build` does; later ones find in the builder's cache what others wrote. What else the
# builder needs to be told, it reads from variables of its own (DOCKER_HOST, STORAGE_DRIVER, BUILDAH_ISOLATION, …).
set -eu
cd "$(dirname -- "$0")/.."

say() { printf '%s\n' "image: $*" >&2; }
fail() { say "$*"; exit 1; }

works() {
  case $1 in
    # The program may be there, and nothing that answers it.
    docker) docker info >/dev/null 2>&1 ;;
    podman) podman info >/dev/null 2>&1 ;;
    buildah) buildah info >/dev/null 2>&1 ;;
    *) fail "TOOL=$1 is not docker, podman or buildah" ;;
  esac
}

tool=${TOOL:-}
if [ -z "$tool" ]; then
  for tool in docker podman buildah ''; do
    if [ -z "$tool" ] || works "$tool"; then break; fi
  done
  [ -n "$tool" ] || fail "needs Docker, Podman or Buildah, and none of them works here"
else
  works "$tool" || fail "$tool does not work here: $("$tool" info 2>&1 | tail -n 1)"
fi

name=${1:-scriptorium${STAGE:+-$STAGE}:dev}

# The commit, and its time as that of all that is made: two builds of it then differ as little as they can.
revision=$(git rev-parse HEAD 2>/dev/null || :)
if [ -n "$revision" ]; then
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
  export SOURCE_DATE_EPOCH
  git diff --quiet HEAD -- || revision=$revision-changed
fi

set -- --file deploy/Dockerfile --tag "$name" --build-arg "REVISION=$revision" ${STAGE:+--target "$STAGE"}
for argument in "MODEL=${MODEL:-}" "JOBS=${JOBS:-}" "BUILD_BASE=${BUILD_BASE:-}" "RUN_BASE=${RUN_BASE:-}"; do
  [ -z "${argument#*=}" ] || set -- "$@" --build-arg "$argument"
done
say "building $name with $tool"
case $tool in
  docker) DOCKER_BUILDKIT=1 docker build "$@" . ;;
  podman | buildah)
    # OCI's format, their own choice, has no health checks.
    [ -z "${SOURCE_DATE_EPOCH:-}" ] || set -- "$@" --timestamp "$SOURCE_DATE_EPOCH"
    "$tool" build --format docker "$@" .
    ;;
esac
say "$name is built"
