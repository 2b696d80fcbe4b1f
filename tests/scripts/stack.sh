#!/bin/sh
# Tries what `make up` and `make down` call (scripts/stack.sh) on the real services and roles: up, a transcript from each
# gateway, one role killed, up again, down with the data kept, up on them, down; and nothing is left at the end.
#
#   tests/scripts/stack.sh [BASE-PORT]     some 60 s; 16 ports from BASE-PORT (29440) on, and those of the roles
#
# PROGRAM is what is started (target/release/scriptorium), SCRIPTORIUM_MODELS_DIR where its model is (models).
set -eu
cd "$(dirname -- "$0")/../.."
base=${1:-29440}
program=${PROGRAM:-target/release/scriptorium}
stack=target/stack
clip=tests/fixtures/LJ001-0001.wav
first=http://127.0.0.1:8787 second=http://127.0.0.1:8788
roles='coordinator-1 coordinator-2 gateway-1 gateway-2 worker-1 worker-2'

fail() {
  printf 'stack test: %s\n' "$*" >&2
  exit 1
}
is() { # WHAT EXPECTED ACTUAL
  [ "$2" = "$3" ] || fail "$1: expected \"$2\", got \"$3\""
}
# There is one such folder: somebody's own stack is not to be ended by a test.
[ ! -e "$stack" ] || fail "$stack is there: run make down first"

log=$(mktemp)
kept=$(mktemp)
clean() {
  scripts/stack.sh down >>"$log" 2>&1 || :
  rm -f "$log" "$kept"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

up() {
  scripts/stack.sh up --program "$program" --base-port "$base" >"$log" 2>&1 || { cat "$log" >&2; fail "up failed"; }
}
down() { # [--keep]
  scripts/stack.sh down "$@" >"$log" 2>&1 || { cat "$log" >&2; fail "down failed"; }
  ! grep -q 'killing it' "$log" || { cat "$log" >&2; fail "down had to kill"; }
}
get() { curl --silent --show-error --fail --max-time 20 --noproxy '*' "$1"; } # URL
pids() { # NAME...
  for name in "$@"; do printf '%s=%s\n' "$name" "$(cat "$stack/$name.pid")"; done
}
# shellcheck disable=SC2086 # a list of words
all_pids() { pids rabbitmq redis s3 $roles; }
transcribed() { # URL: the text of the clip by that gateway
  curl --silent --show-error --fail --max-time 120 --noproxy '*' --form "file=@$clip" "$1/api/transcripts/upload?wait=true" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["text"])'
}
none_runs() { # name=pid...
  for entry in "$@"; do
    case $(sed -n 's/.*) //p' "/proc/${entry#*=}/stat" 2>/dev/null) in '' | Z*) ;; *) fail "$entry is left over" ;; esac
  done
}

up
before=$(all_pids)
text=$(transcribed "$first")
case $text in *[Pp]rinting*) ;; *) fail "that is not the clip's text: $text" ;; esac
is "the text by the other gateway" "$text" "$(transcribed "$second")"
get "$first/jobs" >"$kept"

# What has died is started again, and nothing else is.
kill -9 "$(cat "$stack/worker-2.pid")"
up
after=$(all_pids)
is "the processes that did not die" "$(echo "$before" | grep -v worker-2)" "$(echo "$after" | grep -v worker-2)"
[ "$(echo "$before" | grep worker-2)" != "$(echo "$after" | grep worker-2)" ] || fail "worker-2 was not started again"
is "the text after that" "$text" "$(transcribed "$first")"
get "$first/jobs" >"$kept"
jobs=$(tr ',' '\n' <"$kept" | grep -c '"parent_job_id"') || fail "no job is listed: $(cat "$kept")"
is "the number of jobs" 3 "$jobs"

# Ended, but kept.
down --keep
# shellcheck disable=SC2086 # a list of words
none_runs $after
[ -d "$stack" ] || fail "the data are gone"
up
again=$(all_pids)
is "the jobs after down and up" "$(cat "$kept")" "$(get "$second/jobs")"

down
# shellcheck disable=SC2086 # a list of words
none_runs $again
[ ! -e "$stack" ] || fail "$stack is left over"
! epmd -port "$((base + 3))" -names >/dev/null 2>&1 || fail "Erlang's name server is left over"
clean
trap - EXIT
printf 'stack: all is well\n'
