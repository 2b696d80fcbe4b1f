#!/bin/sh
# shellcheck disable=SC2154 # dir and services are of services.sh
# What services.sh has to know of each service: addresses and keys, how it is started and how it ends. Read by services.sh,
# which has set $dir (the folder of them all), $scripts and $services.
deploy=$(CDPATH='' cd -- "${scripts:?}/../deploy" && pwd)

random() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

# Reads what the last start settled, or settles it, and writes all that follows from it.
settle() { # [BASE-PORT]
  wanted=${1:-}
  case $wanted in *[!0-9]*) fail "--base-port $wanted is not a number" ;; esac
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
  if [ "$base" -lt 1024 ] || [ "$base" -gt 65500 ]; then fail "--base-port $base is not between 1024 and 65500"; fi
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
  # The broker's cookie is in its HOME. +S: two schedulers do; +sbwt: idle ones sleep instead of spinning. The intervals of
  # the statistics are a second instead of five: tests, and whoever looks at the console, need not wait for the counts.
  statistics='-rabbit collect_statistics_interval 1000 quorum_tick_interval 1000'
  launch rabbitmq "$dir/rabbitmq" env HOME="$dir/rabbitmq" detached=1 RABBITMQ_CONF_ENV_FILE=/dev/null \
    RABBITMQ_NODENAME=scriptorium@localhost RABBITMQ_MNESIA_BASE="$dir/rabbitmq/data" RABBITMQ_LOG_BASE="$dir/rabbitmq/log" \
    RABBITMQ_PID_FILE="$dir/rabbitmq/broker.pid" RABBITMQ_CONFIG_FILE="$deploy/rabbitmq.conf" \
    RABBITMQ_CONFIG_FILES="$dir/rabbitmq/conf.d" RABBITMQ_ADVANCED_CONFIG_FILE="$deploy/rabbitmq-advanced.config" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$deploy/rabbitmq-plugins" RABBITMQ_LOGS=- \
    ERL_EPMD_PORT=$((base + 3)) ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_DIST_PORT=$((base + 4)) ERL_CRASH_DUMP=/dev/null \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-noinput -kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none $statistics" \
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
    -s3.autoCreateBucket=false -s3.iam=false -s3.port.iceberg=0 -s3.port.lance=0
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
