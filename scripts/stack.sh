#!/bin/sh
# The roles as separate processes on real services, on this machine: what `make up` and `make down` call.
#
#   scripts/stack.sh up [--program FILE] [--base-port N]   RabbitMQ, Redis and S3, and two of each role. Run again, it
#                                                          starts what has died and leaves the rest alone.
#   scripts/stack.sh down [--keep]                         ends all of it, and deletes its data unless --keep
#
# Everything is below target/stack: <name>.pid and <name>.log of each, and `env` with the services' addresses and keys.
set -eu
cd "$(dirname -- "$0")/.."
# shellcheck source=scripts/procs.sh
. scripts/procs.sh

root=$PWD
dir=$root/target/stack
program=target/release/scriptorium
patience=120 # seconds until a role must be ready; loading a large model takes a while
drain=90     # seconds in which a role may finish, or hand back, what it is at

# name role address-of-its-own address-for-operators
roles='gateway-1 gateway 127.0.0.1:8787 127.0.0.1:8797
gateway-2 gateway 127.0.0.1:8788 127.0.0.1:8798
coordinator-1 coordinator - 127.0.0.1:8801
coordinator-2 coordinator - 127.0.0.1:8802
worker-1 worker - 127.0.0.1:8811
worker-2 worker - 127.0.0.1:8812'

usage() { fail "usage: stack.sh up [--program FILE] [--base-port N] | stack.sh down [--keep]"; }

start_role() { # NAME ROLE LISTEN OPS-LISTEN
  ! running "$1" || return 0
  if [ "$3" = - ]; then
    launch "$1" "$root" "$program" "$2" --ops-listen "$4"
  else
    # On the loopback of this machine: nobody is asked for a key.
    launch "$1" "$root" "$program" "$2" --listen "$3" --ops-listen "$4" --allow-unauthenticated
  fi
}

role_ready() { # NAME ADDRESS
  begun=$(date +%s)
  until curl --silent --fail --max-time 5 --noproxy '*' --output /dev/null "http://$2/readyz"; do
    if ! running "$1"; then
      tail_of "$1"
      fail "$1 has ended"
    fi
    if [ $(($(date +%s) - begun)) -ge "$patience" ]; then
      tail_of "$1"
      fail "$1 has not become ready within $patience s (http://$2/readyz)"
    fi
    sleep 0.2
  done
  # Another program on the same port may have answered.
  running "$1" || { tail_of "$1"; fail "$1 has ended, and something else answers on $2"; }
}

up() { # [--base-port N]
  [ -x "$program" ] || fail "$program is not there: run make build"
  scripts/services-install.sh
  scripts/services.sh start "$dir" "$@"
  # shellcheck source=/dev/null
  . "$dir/env"
  # What a user's shell may hold for another account would be sent along with these keys.
  unset AWS_SESSION_TOKEN AWS_PROFILE
  SCRIPTORIUM_S3_PUBLIC_ENDPOINT=$SCRIPTORIUM_S3_ENDPOINT
  SCRIPTORIUM_MODELS_DIR=${SCRIPTORIUM_MODELS_DIR:-$root/models}
  export SCRIPTORIUM_S3_PUBLIC_ENDPOINT SCRIPTORIUM_MODELS_DIR
  "$program" admin bucket || fail "the bucket could not be set up"
  while read -r name role listen ops; do start_role "$name" "$role" "$listen" "$ops"; done <<END
$roles
END
  while read -r name role listen ops; do role_ready "$name" "$ops"; done <<END
$roles
END
  report
}

report() {
  printf '\nEverything is up:\n\n'
  while read -r name role listen ops; do
    if [ "$listen" = - ]; then at=; else at="http://$listen"; fi
    printf '  %-14s process %-8s %-22s probes and metrics on http://%s\n' "$name" "$(pid_of "$name")" "$at" "$ops"
  done <<END
$roles
END
  for name in rabbitmq redis s3; do printf '  %-14s process %s\n' "$name" "$(pid_of "$name")"; done
  cat <<END

  $program transcribe YOUR.mp3 --server http://127.0.0.1:8787
  . target/stack/env          addresses and keys of the services, for this shell
  target/stack/<name>.log     what each says; its process is in <name>.pid
  make up                     again: starts what has died
  make down                   ends all of it; make down KEEP=1 keeps the data
END
}

down() { # [keep]
  while read -r name role listen ops; do
    ! running "$name" || kill -TERM "$(pid_of "$name")" 2>/dev/null || :
  done <<END
$roles
END
  # All have been told at once; each is waited for, and not told again: a second signal may mean haste.
  while read -r name role listen ops; do
    gone_within "$name" "$drain" || say "$name has not ended within $drain s; killing it"
    end "$name" 0
  done <<END
$roles
END
  if [ -n "${1:-}" ]; then
    scripts/services.sh stop "$dir"
    printf 'Ended. The data are kept in target/stack.\n'
  else
    scripts/services.sh stop "$dir" --wipe
    rm -rf "$dir"
    printf 'Ended, and the data are deleted.\n'
  fi
}

command=${1:-} port='' keep=
[ $# -eq 0 ] || shift
while [ $# -gt 0 ]; do
  case $command$1 in
    up--program) [ $# -ge 2 ] || usage; program=$2; shift ;;
    up--base-port) [ $# -ge 2 ] || usage; port=$2; shift ;;
    down--keep) keep=1 ;;
    *) usage ;;
  esac
  shift
done
case $command in
  up)
    lock stack
    # shellcheck disable=SC2086 # an option and its value, or nothing
    up ${port:+--base-port $port}
    ;;
  down)
    [ -d "$dir" ] || { printf 'Nothing is up.\n'; exit 0; }
    lock stack
    down "$keep"
    ;;
  *) usage ;;
esac
