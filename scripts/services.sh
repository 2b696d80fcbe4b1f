#!/bin/sh
# RabbitMQ, Redis and an S3 server (SeaweedFS) for one machine: on 127.0.0.1 only, with everything they keep in one folder.
#
#   scripts/services.sh start DIR [--base-port N]    starts what is not running, and waits until all can be used
#   scripts/services.sh stop DIR [--wipe]            ends all; --wipe deletes what they kept, too
#   scripts/services.sh status DIR                   tells how each is; 0 if all can be used
#   scripts/services.sh start-one|stop-one|kill-one rabbitmq|redis|s3 DIR    one of them; kill-one is kill -9
#
# DIR/env has the addresses and keys as the roles read them: `. DIR/env`. DIR/<name>.pid and DIR/<name>.log are each
# service's. Sixteen ports from the base port on are used (28700, or the one of the last start); several folders with
# different base ports stand side by side. Keys and passwords are made at random for each folder.
#
# Needs what scripts/services-install.sh installs. The services' own settings are in deploy/.
set -eu
umask 077
scripts=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=scripts/procs.sh
. "$scripts/procs.sh"
# shellcheck source=scripts/services-each.sh
. "$scripts/services-each.sh"

services='rabbitmq redis s3'
patience=180 # seconds until a service must be ready; one that ends before is noticed at once

usage() { fail "usage: services.sh start DIR [--base-port N] | stop DIR [--wipe] | status DIR |
  start-one|stop-one|kill-one rabbitmq|redis|s3 DIR"; }

installed() {
  if ! { [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && command -v redis-server >/dev/null 2>&1 &&
    [ -x "$("$scripts/services-install.sh" weed)" ]; }; then
    fail "services are not installed: run scripts/services-install.sh"
  fi
}

start() { # NAME...
  installed
  waited=
  for name in "$@"; do
    running "$name" || "start_$name"
    waited="$waited $name:$(pid_of "$name")"
  done
  # shellcheck disable=SC2086 # a list of words
  if ! trouble=$(python3 "$scripts/services-ready.py" "$dir/env" "$patience" $waited); then
    tail_of "${trouble%%:*}"
    fail "$trouble"
  fi
}

status() {
  result=0
  for name in $services; do
    if ! running "$name"; then
      printf '%s is not running\n' "$name"
      result=1
    elif trouble=$(python3 "$scripts/services-ready.py" "$dir/env" 0 "$name:$(pid_of "$name")"); then
      printf '%s is ready, process %s\n' "$name" "$(pid_of "$name")"
    else
      printf '%s is running, process %s, but: %s\n' "$name" "$(pid_of "$name")" "${trouble#*: }"
      result=1
    fi
  done
  return "$result"
}

command=${1:-} one='' port='' wipe=
case $command in
  start | stop | status) [ $# -ge 2 ] || usage; shift ;;
  start-one | stop-one | kill-one)
    [ $# -ge 3 ] || usage
    one=$2
    case " $services " in *" $one "*) ;; *) usage ;; esac
    shift 2
    ;;
  *) usage ;;
esac
dir=$1
shift
while [ $# -gt 0 ]; do
  case $command$1 in
    start--base-port | start-one--base-port) [ $# -ge 2 ] || usage; port=$2; shift ;;
    stop--wipe) wipe=1 ;;
    *) usage ;;
  esac
  shift
done
case $command in
  start*) mkdir -p "$dir" ;;
  status) [ -e "$dir/.settled" ] || { printf 'nothing was started in %s\n' "$dir"; exit 1; } ;;
  *) [ -e "$dir/.settled" ] || exit 0 ;;
esac
dir=$(CDPATH='' cd -- "$dir" && pwd -P)
[ "$command" = status ] || lock services
settle "$port"

case $command in
  start)
    # shellcheck disable=SC2086 # a list of words
    start $services
    ;;
  start-one) start "$one" ;;
  stop-one) end_one "$one" ;;
  kill-one) end_one "$one" kill ;;
  status) status ;;
  stop)
    for name in $services; do end_one "$name"; done
    if [ -n "$wipe" ]; then
      rm -rf "$dir/rabbitmq" "$dir/redis" "$dir/s3" "$dir/env" "$dir/.settled" "$dir/.services.lock"
      for name in $services; do rm -f "$dir/$name.log"; done
      rmdir "$dir" 2>/dev/null || :
    fi
    ;;
esac
