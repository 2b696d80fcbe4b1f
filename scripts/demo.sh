#!/bin/sh
# demo.sh RECORDING: from a fresh clone to a transcript, through the whole chain.
set -eu
cd "$(dirname -- "$0")/.."
recording=$1
program=target/release/scriptorium

say() { printf '\n%s\n' "$*" >&2; }

if [ ! -x "$program" ]; then
  say "Building Scriptorium. The first time this takes 12 to 17 minutes on two cores, a third of it for the C++ of the
speech engine; later it takes seconds."
fi
make --no-print-directory build
make --no-print-directory model

say "Transcribing $recording: a server starts in this process, the recording is uploaded to it in chunks of 1 MB,
several at once, and the text appears as the chunks are done."
out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$program" transcribe "$recording" --chunk-size-mb 1 --output "$out"

say "The transcript:"
printf '\n'
fold -s -w 100 "$out"

say "Where to go next:
  $program transcribe YOUR.mp3 --format srt -o YOUR.srt   your own recording, as subtitles
  $program serve                                          the server, on http://127.0.0.1:8787
  $program transcribe YOUR.mp3 --server http://127.0.0.1:8787
  README.md                                                           an upload by hand, with curl
  scripts/model.sh base                                               a model for other languages than English"
