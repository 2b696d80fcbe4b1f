#!/bin/sh
# Background programs with a pid file and a log each; read by services.sh and stack.sh, which set $dir, the folder of both.
#
# A pid alone may be another program's by now (after a crash, a restart of the machine). So the time at which the process
# began is kept beside it, and both are compared.

say() { printf '%s\n' "${0##*/}: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

lock() { # NAME: one run at a time for each folder; programs that are started close descriptor 9
  mkdir -p "${dir:?}"
  exec 9>"$dir/.$1.lock"
  flock -w 180 9 || fail "another run has been busy in $dir for three minutes"
}

began() { # PID: when it began, in clock ticks since the machine did; nothing if it is no more, or only a zombie
  # The second field, the program's name, is in parentheses and may have spaces: the rest is counted from there.
  stat=$(sed -n 's/.*) //p' "/proc/$1/stat" 2>/dev/null) || return 0
  # shellcheck disable=SC2086 # a list of words
  set -- $stat
  case ${1:-Z} in
    Z | X) ;;
    *) printf '%s\n' "${20}" ;;
  esac
}

pid_of() { cat "$dir/$1.pid" 2>/dev/null || :; }

running() { # NAME
  pid=$(pid_of "$1")
  [ -n "$pid" ] && [ -e "$dir/.$1.began" ] || return 1
  now=$(began "$pid")
  [ -n "$now" ] && [ "$now" = "$(cat "$dir/.$1.began")" ]
}

launch() { # NAME FOLDER COMMAND...: in a session of its own, so that it outlives the shell and its terminal
  name=$1 folder=$2
  shift 2
  (cd "$folder" && exec setsid "$@") >>"$dir/$name.log" 2>&1 </dev/null 9>&- &
  began $! >"$dir/.$name.began"
  echo $! >"$dir/$name.pid"
}

forget() { rm -f "$dir/$1.pid" "$dir/.$1.began"; }

gone_within() { # NAME SECONDS
  tenths=$(($2 * 10))
  while running "$1"; do
    [ "$tenths" -gt 0 ] || return 1
    tenths=$((tenths - 1))
    sleep 0.1
  done
}

end() { # NAME SECONDS: asks it to end, and ends it if it has not done so in time (at once if that is 0)
  if running "$1"; then
    if [ "$2" -gt 0 ]; then
      kill -TERM "$(pid_of "$1")" 2>/dev/null || :
      gone_within "$1" "$2" || say "$1 has not ended within $2 s; killing it"
    fi
    if running "$1"; then
      kill -KILL "$(pid_of "$1")" 2>/dev/null || :
      gone_within "$1" 10 || fail "$1 (process $(pid_of "$1")) cannot be killed"
    fi
  fi
  forget "$1"
}

tail_of() { # NAME: the end of its log, for an error message
  say "the end of $dir/$1.log:"
  tail -n 15 "$dir/$1.log" 2>/dev/null | cut -c 1-300 | sed 's/^/  /' >&2 || :
}
