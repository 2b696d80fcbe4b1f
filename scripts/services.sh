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
deploy=$(CDPATH='' cd -- "$scripts/../deploy" && pwd)
# shellcheck source=scripts/procs.sh
. "$scripts/procs.sh"

services='rabbitmq redis s3'
patience=90 # seconds until a service must be ready; one that ends before is noticed at once

usage() { fail "usage: services.sh start DIR [--base-port N] | stop DIR [--wipe] | status DIR |
  start-one|stop-one|kill-one rabbitmq|redis|s3 DIR"; }

random() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

# Reads what the last start settled, or settles it, and writes all that follows from it.
settle() { # [BASE-PORT]
  wanted=${1:-}
  base='' amqp_password='' redis_password='' s3_id='' s3_secret=''
  # shellcheck source=/dev/null
  [ ! -e "$dir/.settled" ] || . "$dir/.settled"
  if [ -n "$wanted" ] && [ "$wanted" != "$base" ]; then
    for name in $services; do
      ! running "$name" || fail "$name is running in $dir on ports from $base; stop it before you choose others"
    done
    base=$wanted
  fi
  base=${base:-28700}
  case $base in *[!0-9]*) fail "--base-port $base is not a number" ;; esac
  [ "$base" -ge 1024 ] && [ "$base" -le 65500 ] || fail "--base-port $base is not between 1024 and 65500"
  : "${amqp_password:=$(random 16)}" "${redis_password:=$(random 16)}" "${s3_id:=$(random 10)}" "${s3_secret:=$(random 20)}"
  cat >"$dir/.settled.new" <<END
base=$base amqp_password=$amqp_password redis_password=$redis_password s3_id=$s3_id s3_secret=$s3_secret
END
  mv -f "$dir/.settled.new" "$dir/.settled"

  names='SCRIPTORIUM_AMQP_URL SCRIPTORIUM_REDIS_URL SCRIPTORIUM_S3_ENDPOINT SCRIPTORIUM_S3_BUCKET SCRIPTORIUM_S3_REGION'
  cat >"$dir/env.new" <<END
# RabbitMQ's console: http://127.0.0.1:$((base + 5)) (user and password as in the first line)
SCRIPTORIUM_AMQP_URL=amqp://scriptorium:$amqp_password@127.0.0.1:$base/%2f
SCRIPTORIUM_REDIS_URL=redis://:$redis_password@127.0.0.1:$((base + 1))/0
SCRIPTORIUM_S3_ENDPOINT=http://127.0.0.1:$((base + 2))
SCRIPTORIUM_S3_BUCKET=scriptorium
SCRIPTORIUM_S3_REGION=us-east-1
AWS_ACCESS_KEY_ID=$s3_id
AWS_SECRET_ACCESS_KEY=$s3_secret
export $names AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
END
  mv -f "$dir/env.new" "$dir/env"
}

start_rabbitmq() {
  mkdir -p "$dir/rabbitmq/conf.d"
  cat >"$dir/rabbitmq/conf.d/local.conf" <<END
listeners.tcp.local = 127.0.0.1:$base
management.tcp.ip = 127.0.0.1
management.tcp.port = $((base + 5))
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = $((base + 6))
default_user = scriptorium
default_pass = $amqp_password
END
  # Debian's command on the path insists on a user of its own, so the program behind it is called. It becomes the broker
  # itself if it takes itself for detached, and watches over a child otherwise, which a kill -9 would leave behind.
  # The broker's cookie is in its HOME. +S: two schedulers do; +sbwt: idle ones sleep instead of spinning.
  launch rabbitmq "$dir/rabbitmq" env HOME="$dir/rabbitmq" detached=1 RABBITMQ_CONF_ENV_FILE=/dev/null \
    RABBITMQ_NODENAME=scriptorium@localhost RABBITMQ_MNESIA_BASE="$dir/rabbitmq/data" RABBITMQ_LOG_BASE="$dir/rabbitmq/log" \
    RABBITMQ_PID_FILE="$dir/rabbitmq/broker.pid" RABBITMQ_CONFIG_FILE="$deploy/rabbitmq.conf" \
    RABBITMQ_CONFIG_FILES="$dir/rabbitmq/conf.d" RABBITMQ_ADVANCED_CONFIG_FILE="$deploy/rabbitmq-advanced.config" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$deploy/rabbitmq-plugins" RABBITMQ_LOGS=- \
    ERL_EPMD_PORT=$((base + 3)) ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_DIST_PORT=$((base + 4)) ERL_CRASH_DUMP=/dev/null \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-noinput -kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none' \
    /usr/lib/rabbitmq/bin/rabbitmq-server
}

start_redis() {
  mkdir -p "$dir/redis/data"
  # In a file, because everyone on the machine can read a command line.
  cat >"$dir/redis/redis.conf" <<END
include "$deploy/redis.conf"
bind 127.0.0.1
port $((base + 1))
dir "$dir/redis/data"
requirepass $redis_password
END
  launch redis "$dir/redis" redis-server "$dir/redis/redis.conf"
}

start_s3() {
  mkdir -p "$dir/s3/data"
  cat >"$dir/s3/s3.json" <<END
{"identities": [{"name": "scriptorium", "credentials": [{"accessKey": "$s3_id", "secretKey": "$s3_secret"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
END
  # One volume at a time instead of seven (each takes a file), and small ones, so that deleted objects' space comes back.
  # A lone master need not wait 10 s for others before it takes up its old state. No statistics are sent to anyone, a
  # bucket must be made before it is used, and the servers that are not needed (Iceberg, Lance) stay away.
  launch s3 "$dir/s3" env HOME="$dir/s3" TMPDIR="$dir/s3" WEED_MASTER_VOLUME_GROWTH_COPY_1=1 \
    "$("$scripts/services-install.sh" weed)" -logtostderr=true server -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir="$dir/s3/data" \
    -master.port=$((base + 7)) -master.port.grpc=$((base + 8)) -master.electionTimeout=1s -master.telemetry=false \
    -master.volumeSizeLimitMB=1024 -volume.port=$((base + 9)) -volume.port.grpc=$((base + 10)) -volume.max=100 \
    -filer -filer.port=$((base + 11)) -filer.port.grpc=$((base + 12)) -filer.localSocket=filer.sock \
    -s3 -s3.port=$((base + 2)) -s3.port.grpc=$((base + 13)) -s3.localSocket=s3.sock -s3.config="$dir/s3/s3.json" \
    -s3.autoCreateBucket=false -s3.port.iceberg=0 -s3.port.lance=0
}

end_one() { # NAME [kill]
  case ${2:-}$1 in
    killrabbitmq | killredis) end "$1" 0 ;;
    rabbitmq)
      end rabbitmq 30
      # Erlang's name server is started with the first node and stays; it ends on command when no node is left.
      epmd -port $((base + 3)) -kill >/dev/null 2>&1 || :
      ;;
    redis) end redis 15 ;;
    *s3)
      # Killed always: its own way to end waits 15 s for streams that it holds open itself, and what it has confirmed is
      # written. It makes sockets outside its folder.
      end s3 0
      for port in "master-grpc-$((base + 8))" "volume-grpc-$((base + 10))" "filer-grpc-$((base + 12))" "s3-grpc-$((base + 13))"; do
        rm -f "/tmp/seaweedfs-$port.sock" 2>/dev/null || :
      done
      ;;
  esac
}

installed() {
  [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && command -v redis-server >/dev/null 2>&1 &&
    [ -x "$("$scripts/services-install.sh" weed)" ] || fail "services are not installed: run scripts/services-install.sh"
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
    start--base-port) [ $# -ge 2 ] || usage; port=$2; shift ;;
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
[ "$command" = status ] || lock
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
      rm -rf "$dir/rabbitmq" "$dir/redis" "$dir/s3" "$dir/env" "$dir/.settled" "$dir/.lock"
      for name in $services; do rm -f "$dir/$name.log"; done
      rmdir "$dir" 2>/dev/null || :
    fi
    ;;
esac
