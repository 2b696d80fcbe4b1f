#!/bin/sh
# Tries scripts/services.sh on the real services: two instances side by side, one of them losing each of its services by
# kill -9. What was confirmed to a client is there afterwards, the other one has not noticed, and nothing is left at the end.
#
#   tests/scripts/services.sh [BASE-PORT]     some 40 s; 40 ports from BASE-PORT (26500) on
set -eu
cd "$(dirname -- "$0")/../.."
base=${1:-26500}
work=$(mktemp -d)
# A folder with a space, because users have such.
one="$work/first one" two=$work/two

services() { scripts/services.sh "$@"; }
fail() {
  printf 'services test: %s\n' "$*" >&2
  exit 1
}
stranger=
clean() {
  [ -z "$stranger" ] || kill "$stranger" 2>/dev/null || :
  services stop "$one" --wipe || :
  services stop "$two" --wipe || :
  rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Each of them talks to the instance whose env file is read.
amqp() { # METHOD PATH [BODY]: by the broker's HTTP interface; the quorum queue is declared, filled and read with it
  login=${SCRIPTORIUM_AMQP_URL#amqp://}
  printf 'user = "%s"\n' "${login%%@*}" |
    curl --silent --show-error --fail --noproxy '*' --config - --header 'Content-Type: application/json' \
      --request "$1" "http://127.0.0.1:$((base + 5))/api/$2" ${3:+--data "$3"}
}
redis() {
  login=${SCRIPTORIUM_REDIS_URL#redis://:}
  port=${login##*:}
  REDISCLI_AUTH=${login%%@*} redis-cli -p "${port%/*}" "$@"
}
s3() { # METHOD PATH [BODY]: prints the status and the answer's body
  python3 -B - "$@" <<'END'
import os, runpy, sys
signed = runpy.run_path("scripts/services-ready.py")["signed"]
status, body = signed(os.environ, sys.argv[1], sys.argv[2], sys.argv[3].encode() if sys.argv[3:] else b"")
print(status, body.decode())
END
}
is() { # WHAT EXPECTED ACTUAL
  [ "$2" = "$3" ] || fail "$1: expected \"$2\", got \"$3\""
}
pids() { cat "$1/rabbitmq.pid" "$1/redis.pid" "$1/s3.pid" | tr '\n' ' '; }
all_there() { # WHEN
  is "the Redis key $1" kept "$(redis get key)"
  is "the object $1" '200 kept' "$(s3 GET /scriptorium/object)"
  # The queue has a leader again some moments after the broker answers.
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    got=$(amqp POST queues/%2f/kept/get '{"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}') || got=
    case $got in *'"payload":"kept"'*) return 0 ;; esac
    sleep 0.5
  done
  fail "the message is not there $1: $got"
}

scripts/services-install.sh
services start "$two" --base-port "$((base + 20))" &
second=$!
services start "$one" --base-port "$base"
wait "$second" || fail "the second instance has not started"
services status "$one" >/dev/null || fail "status is not content with what start has started"
before_two=$(pids "$two")
is "the mode of the file with the keys" 600 "$(stat -c %a "$one/env")"
# shellcheck source=/dev/null
. "$one/env"

amqp PUT queues/%2f/kept '{"durable": true, "arguments": {"x-queue-type": "quorum"}}'
is "publishing" '{"routed":true}' "$(amqp POST exchanges/%2f/amq.default/publish \
  '{"properties": {"delivery_mode": 2}, "routing_key": "kept", "payload": "kept", "payload_encoding": "string"}')"
is "setting a key" OK "$(redis set key kept)"
is "making the bucket" '200 ' "$(s3 PUT /scriptorium)"
is "putting an object" '200 ' "$(s3 PUT /scriptorium/object kept)"
case $(AWS_SECRET_ACCESS_KEY=wrong s3 GET /scriptorium/object) in 403*) ;; *) fail "a wrong key was let in" ;; esac
all_there "at first"
# RabbitMQ 3.10 writes down half a second late which files belong to a new quorum queue (deploy/README.md).
sleep 2

before=$(pids "$one")
services start "$one"
is "the processes after a second start" "$before" "$(pids "$one")"

for name in rabbitmq redis; do services kill-one "$name" "$one"; done
kill -9 "$(cat "$one/s3.pid")"
# As a crash of the machine leaves it: a pid file, and another program under that pid.
sleep 600 &
stranger=$!
echo "$stranger" >"$one/s3.pid"
! services status "$one" >/dev/null || fail "status is content with dead services"
services start-one redis "$one"
services start "$one"
all_there "after kill -9"
kill "$stranger" || fail "another program was killed because it had the pid of a dead service"

is "the processes of the other instance" "$before_two" "$(pids "$two")"
services status "$two" >/dev/null || fail "the other instance has suffered"

all=$(pids "$one")$before_two$before
clean
trap - EXIT
for pid in $all; do
  case $(sed -n 's/.*) //p' "/proc/$pid/stat" 2>/dev/null) in '' | Z*) ;; *) fail "process $pid is left over" ;; esac
done
! epmd -port "$((base + 3))" -names >/dev/null 2>&1 || fail "Erlang's name server is left over"
[ ! -e "$work" ] || fail "$work is left over"
printf 'services: all is well\n'
