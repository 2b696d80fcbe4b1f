#!/bin/bash
# The image's health check: asks the process in this container whether it is ready. A role tells that on its ops port,
# `serve` on its only one; both ports are known by their variables, so change them by these and not by options. The image has
# no HTTP client: bash opens the connection itself.
set -u

ask() { # HOST:PORT: 0 ready, 1 not ready, 2 nobody there
  # In braces, so that bash does not complain of a closed port.
  { exec 3<>"/dev/tcp/127.0.0.1/${1##*:}"; } 2>/dev/null || return 2
  printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
  local status=
  read -r -t 5 _ status _ <&3
  exec 3>&-
  echo "${status:-no answer} on port ${1##*:}"
  [ "$status" = 200 ]
}

ask "${SCRIPTORIUM_OPS_LISTEN:-127.0.0.1:9787}"
result=$?
if [ "$result" = 2 ]; then
  ask "${SCRIPTORIUM_LISTEN:-127.0.0.1:8787}"
  result=$?
fi
# Other numbers are reserved.
[ "$result" = 0 ] || exit 1
