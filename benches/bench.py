"""Measures Scriptorium; see README.md. Each figure is one JSON line."""
import argparse
import csv
import itertools
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

import client

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parent / "tests" / "fixtures"


def emit(**figures):
    print(json.dumps(figures), flush=True)


def clips():
    """(path, reference) of the development set, or of the sample."""
    folder = os.environ.get("SCRIPTORIUM_BENCH_AUDIO")
    if not folder:
        return [(FIXTURES / "sample.flac", (FIXTURES / "sample.txt").read_text())]
    folder = pathlib.Path(folder)
    with open(folder / "manifest.tsv", newline="") as manifest:
        rows = csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(folder / row["file"], reference(folder / row["file"], row["reference"])) for row in rows]


def reference(path, said):
    """What is said, by the manifest or by a JSON file beside the recording."""
    beside = path.with_suffix(".json")
    return json.loads(beside.read_text())["reference"] if beside.exists() else said


def recording(minutes, target, *codec):
    """Real speech of so many minutes: the clips one after the other, repeated as needed."""
    listing = target.with_suffix(".txt")
    paths = [path for path, _ in clips()]
    listing.write_text("".join(f"file '{path}'\n" for path in paths * 20))
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "concat", "-safe", "0", "-i", listing,
                    "-t", str(minutes * 60), *codec, target], check=True)
    return target


def silent_end(folder, bitrate, rate):
    """Ten minutes of MP3, nothing but frames, so that copies can be put one after the other: half a minute of speech, then
    silence, which gives the engine little to do."""
    speech = recording(0.5, folder / "speech.wav", "-ac", "1", "-ar", rate)
    target = folder / f"silent-end-{bitrate}.mp3"
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", speech, "-af", "apad=whole_dur=600", "-b:a", bitrate,
                    "-write_xing", "0", "-id3v2_version", "0", target], check=True)
    return target


def word_errors(reference, text):
    a, b = reference.split(), text.split()
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1], len(a)


def rival(model):
    from faster_whisper import WhisperModel
    return WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=os.cpu_count())


def wer(options):
    from faster_whisper import BatchedInferencePipeline
    from whisper_normalizer.english import EnglishTextNormalizer
    normal, model = EnglishTextNormalizer(), rival(options.model)
    batched = BatchedInferencePipeline(model=model)

    def ours(path):
        command = [options.binary, "transcribe", "-q", str(path)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def theirs(engine, **extra):
        return lambda path: " ".join(s.text for s in engine.transcribe(str(path), language="en", beam_size=5, **extra)[0])

    who = {"scriptorium": ours, "faster_whisper": theirs(model), "faster_whisper_batched_8": theirs(batched, batch_size=8)}
    sums = {name: [0, 0] for name in who}
    for path, reference in clips():
        for name, transcribe in who.items():
            errors, words = word_errors(normal(reference), normal(transcribe(path)))
            sums[name][0] += errors
            sums[name][1] += words
    for name, (errors, words) in sums.items():
        emit(bench="wer", who=name, files=len(clips()), words=words, word_error_rate=round(errors / words, 4))


def identical(options, folder):
    path = recording(10, folder / "identical.wav", "-ac", "1", "-ar", "16000", "-c:a", "pcm_s16le")
    results = {}
    for workers in (1, 2, 4):
        with client.Serve(options.binary, workers=workers) as serve:
            for size in (1, 2, 5, 20):
                job, _ = client.upload(serve.url, path, size)
                client.wait(serve.url, job)
                results.setdefault(client.transcript(serve.url, job), []).append(f"{size} MB × {workers}")
    emit(bench="identical", runs=sum(map(len, results.values())), different_transcripts=len(results),
         groups=list(results.values()))


def tail(options, folder):
    for minutes in (10, 30, 60):
        path = recording(minutes, folder / "tail.mp3", "-ac", "1", "-ar", "44100", "-b:a", "128k")
        serve = client.Serve(options.binary)
        with serve:
            job, last_notice = client.upload(serve.url, path, 1, seconds=minutes * 60 / options.pace)
            frame, ended = client.wait(serve.url, job)
        emit(bench="tail", minutes=minutes, upload_pace=f"{options.pace} x real time", status=frame.get("status"),
             seconds_from_last_notice=round(ended - last_notice, 2), peak_mib=round(serve.peak_mib))


def memory(options, folder):
    """Two minutes, an hour of FLAC, and chunks of 100 MB of the lowest and of the highest bitrate: 14 hours, and two minutes.
    Windows that come again are not computed again: they would take no other memory."""
    short = recording(2, folder / "short.wav", "-ac", "2", "-ar", "44100", "-c:a", "pcm_s16le")
    hour = recording(60, folder / "memory.flac", "-ac", "2", "-ar", "44100")
    low, copies = silent_end(folder, "16k", "16000"), 84
    (folder / "low.mp3").write_bytes(low.read_bytes() * copies)
    high = recording(2, folder / "high.wav", "-ac", "2", "-ar", "96000", "-c:a", "pcm_f64le")
    for path in (short, hour, folder / "low.mp3", high):
        serve = client.Serve(options.binary, workers=1, cache_ttl_seconds=86_400)
        with serve:
            idle = serve.memory_mib("VmRSS")
            job, _ = client.upload(serve.url, path, 100)
            frame, _ = client.wait(serve.url, job)
        emit(bench="memory", file=path.name, file_mib=round(path.stat().st_size / client.MB), chunk_size_mb=100,
             status=frame.get("status"), idle_mib=round(idle), peak_mib=round(serve.peak_mib))


def whole(options, folder):
    """10 GB in one piece: a WAV of silence, made while it is sent, so that nothing but the server's own is measured."""
    size, piece = 10 << 30, bytes(1 << 20)
    header = b"RIFF" + b"\xff" * 4 + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 2, 48_000, 192_000, 4, 16) + b"data" + b"\xff" * 4
    with client.Serve(options.binary, workers=1) as serve:
        idle, begun = serve.memory_mib("VmRSS"), time.monotonic()
        job = client.upload_whole(serve.url, "silence.wav", size, itertools.chain(
            [header + piece[len(header):]], itertools.repeat(piece, size // len(piece) - 1)))
        seconds = time.monotonic() - begun
        client.call(f"{serve.url}/jobs/{job}", method="DELETE")
    emit(bench="whole", file_mib=size >> 20, seconds=round(seconds), idle_mib=round(idle), peak_mib=round(serve.peak_mib))


def speed(options, folder):
    path = recording(10, folder / "speed.wav", "-ac", "1", "-ar", "16000", "-c:a", "pcm_s16le")
    with client.Serve(options.binary) as serve:
        cpu, begun = serve.cpu_seconds(), time.monotonic()
        job, _ = client.upload(serve.url, path, 5)
        _, ended = client.wait(serve.url, job)
        cpu = serve.cpu_seconds() - cpu
    emit(bench="speed", who="scriptorium", audio_seconds=600, times_real_time=round(600 / (ended - begun), 1),
         cpu_seconds=round(cpu, 1))
    from faster_whisper import BatchedInferencePipeline
    model = rival(options.model)
    for who, engine, extra in (("faster_whisper", model, {}),
                               ("faster_whisper_batched_8", BatchedInferencePipeline(model=model), {"batch_size": 8})):
        cpu, begun = time.process_time(), time.monotonic()
        segments, _ = engine.transcribe(str(path), language="en", beam_size=5, **extra)
        list(segments)
        emit(bench="speed", who=who, audio_seconds=600, times_real_time=round(600 / (time.monotonic() - begun), 1),
             cpu_seconds=round(time.process_time() - cpu, 1))


def times(options, folder):
    """Ten hours: the same ten minutes sixty times. The n-th copy begins at n times the length of the first, so each of its
    segments has to stand there. Windows that come again are not computed again."""
    once, path, copies = silent_end(folder, "64k", "44100"), folder / "times.mp3", 60
    probe = ["ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", once]
    length = int(subprocess.run(probe, check=True, capture_output=True, text=True).stdout) * 1152 / 44100
    path.write_bytes(once.read_bytes() * copies)
    with client.Serve(options.binary, cache_ttl_seconds=86_400) as serve:
        job, _ = client.upload(serve.url, path, 20)
        client.wait(serve.url, job)
        segments = json.loads(client.transcript(serve.url, job))["segments"]
    starts = [[] for _ in range(copies)]
    for segment in segments:
        copy = int((segment["start"] + 1) // length)
        starts[copy].append(segment["start"] - copy * length)
    # The first copy has nothing before it, so its windows begin elsewhere and the model rounds otherwise.
    reference, later = starts[1], [copy for copy in starts[1:] if len(copy) == len(starts[1])]
    apart = [max((abs(a - b) for a, b in zip(copy, reference)), default=0.0) for copy in later]
    emit(bench="times", hours=round(copies * length / 3600, 2), copies=copies, segments_a_copy=len(reference),
         later_copies_with_as_many=len(later), largest_difference_to_second_copy_seconds=round(max(apart), 3),
         difference_of_last_copy_seconds=round(apart[-1], 3))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["wer", "identical", "tail", "memory", "whole", "speed", "times"])
    parser.add_argument("--binary", default=str(HERE.parent / "target/release/scriptorium"))
    parser.add_argument("--model", default=str(HERE.parent / "models/tiny.en"), help="the rival's model folder")
    parser.add_argument("--pace", type=float, default=12, help="upload speed in x real time")
    options = parser.parse_args()
    with open("/proc/cpuinfo") as cpuinfo:
        machine = next(line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name"))
    emit(machine=machine, cores=os.cpu_count(), load=os.getloadavg()[0])
    with tempfile.TemporaryDirectory() as folder:
        for what in options.what:
            run = {"identical": identical, "tail": tail, "memory": memory, "whole": whole, "speed": speed,
                   "times": times}.get(what)
            if what == "wer":
                wer(options)
            elif run:
                run(options, pathlib.Path(folder))
            else:
                sys.exit(f"no benchmark named {what}")


if __name__ == "__main__":
    main()
