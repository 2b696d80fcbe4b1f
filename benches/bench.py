"""The figures of the README: `make bench`, or `scripts/bench.sh [words] [equal] [tail]` for some of them.

BENCH_AUDIO names a folder with manifest.tsv (columns `file` and `reference`) for the word error rate on more than the
sample. If faster-whisper is installed, it gets the same files and the same model.
"""

import csv
import hashlib
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from chain import ROOT, SAMPLE, SAMPLE_TEXT, Server, Upload, repeated_sample, transcribe
from words import NORMALISER, errors

TAIL_MINUTES = (10, 30, 60)
# Uploads as fast as this many times real time: slower than two cores transcribe, so that no backlog hides the tail.
TAIL_PACE = 8


def machine():
    names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return f"{os.cpu_count()} × {names[0] if names else platform.machine()}"


def clips():
    folder = os.environ.get("BENCH_AUDIO")
    if not folder:
        return [(SAMPLE, SAMPLE_TEXT.read_text())]
    with open(Path(folder, "manifest.tsv"), newline="") as manifest:
        rows = csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(Path(folder, row["file"]), row["reference"]) for row in rows]


def rate(results):
    wrong = sum(result[0] for result in results)
    return 100 * wrong / max(1, sum(result[1] for result in results))


def words():
    files = clips()
    print(f"\n## Words ({len(files)} recordings, {NORMALISER})\n")
    ours = [errors(text, transcribe(path).decode()) for path, text in files]
    print(f"Scriptorium     {rate(ours):5.2f} % word error rate")
    try:
        from faster_whisper import WhisperModel
    except ImportError:
        print("faster-whisper  not installed (pip install faster-whisper)")
        return
    models = os.environ.get("SCRIPTORIUM_MODELS_DIR", str(ROOT / "models"))
    model = WhisperModel(models + "/tiny.en", device="cpu", compute_type="int8")
    theirs = []
    for path, text in files:
        segments, _ = model.transcribe(str(path), language="en", beam_size=5)
        theirs.append(errors(text, " ".join(segment.text for segment in segments)))
    print(f"faster-whisper  {rate(theirs):5.2f} % word error rate")


def equal():
    print("\n## The same transcript, whatever the chunks and the workers\n")
    seen = set()
    for workers in (1, 2, 4):
        for size in (1, 2, 5, 20):
            begun = time.monotonic()
            options = ("--format", "json", "--workers", str(workers), "--chunk-size-mb", str(size))
            digest = hashlib.sha256(transcribe(SAMPLE, *options)).hexdigest()
            seen.add(digest)
            print(f"{workers} workers, chunks of {size:2} MB: {digest[:16]}  {time.monotonic() - begun:5.1f} s")
    print("all the same" if len(seen) == 1 else f"DIFFERENT: {len(seen)} transcripts")
    return len(seen) == 1


def tail():
    print(f"\n## From the last notice to the final result (uploaded at {TAIL_PACE} × real time)\n")
    with tempfile.TemporaryDirectory() as folder:
        for minutes in TAIL_MINUTES:
            path = repeated_sample(minutes, folder)
            with Server("--log", "warn") as server:
                begun = time.monotonic()
                upload = Upload(server, path, 2)
                told = upload.all(minutes * 60 / TAIL_PACE)
                ended = upload.wait()
                first = (upload.first_text or ended) - begun
                print(
                    f"{minutes:3} min, {len(upload.session['upload_urls']):3} chunks: tail {ended - told:5.1f} s, "
                    f"first text after {first:5.1f} s, {server.cpu_seconds() / minutes * 60:4.0f} CPU s an hour of sound, "
                    f"peak {server.peak_mebibytes():4.0f} MiB",
                    flush=True,
                )


def main():
    asked = sys.argv[1:] or ["words", "equal", "tail"]
    print(f"Machine: {machine()}")
    good = True
    for name in asked:
        part = {"words": words, "equal": equal, "tail": tail}.get(name)
        if part is None:
            sys.exit(f"{name}: words, equal or tail")
        good = part() is not False and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
