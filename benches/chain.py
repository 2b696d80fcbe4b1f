"""A server and a client of its API, as the benchmark needs them. Python's standard library only."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/scriptorium"
SAMPLE = ROOT / "tests/fixtures/sample.flac"
SAMPLE_TEXT = ROOT / "tests/fixtures/sample.txt"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Server:
    """`scriptorium serve` on a fresh folder."""

    def __init__(self, *options):
        self.folder = tempfile.TemporaryDirectory()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        listen = f"127.0.0.1:{self.port}"
        command = [PROGRAM, "serve", "--listen", listen, "--data-dir", self.folder.name + "/data", *options]
        self.process = subprocess.Popen(command, stderr=open(self.folder.name + "/log", "wb"))
        self._wait()

    def _wait(self):
        for _ in range(600):
            if self.process.poll() is not None:
                sys.exit("the server ended:\n" + Path(self.folder.name, "log").read_text())
            try:
                OPENER.open(self.url + "/readyz", timeout=2).read()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit("the server did not get ready")

    def peak_mebibytes(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return float("nan")

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.folder.cleanup()


class Upload:
    """One recording on its way; `follow` reads the live stream beside it."""

    def __init__(self, server, path, chunk_size_mb):
        self.server, self.path = server, path
        new = {"filename": path.name, "total_size": path.stat().st_size, "chunk_size_mb": chunk_size_mb}
        self.session = self._post("/chunked-upload-stream", new)
        self.job = self.session["parent_job_id"]
        self.first_text = self.ended = self.status = None
        self.reader = threading.Thread(target=self._follow, daemon=True)
        self.reader.start()

    def _post(self, path, body):
        request = urllib.request.Request(self.server.url + path, json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        return json.load(OPENER.open(request, timeout=60))

    def _follow(self):
        address = f"{self.server.url}{self.session['stream_url']}?partial=delta"
        for line in OPENER.open(address, timeout=120):
            if not line.startswith(b"data:"):
                continue
            frame = json.loads(line[5:])
            if frame["type"] == "partial_transcript" and self.first_text is None:
                self.first_text = time.monotonic()
            if frame["type"] in ("final_result", "job_failed"):
                self.ended, self.status = time.monotonic(), frame.get("status", "failed")
                return

    def chunk(self, entry):
        first, last = entry["byte_range"]
        with open(self.path, "rb") as file:
            file.seek(first)
            body = file.read(last - first + 1)
        OPENER.open(urllib.request.Request(entry["upload_url"], body, method="PUT"), timeout=120).read()
        notice = {"parent_job_id": self.job, "chunk_index": entry["chunk_index"], "actual_size": len(body)}
        self._post("/chunk-upload-complete", notice)
        return time.monotonic()

    def all(self, seconds=0.0):
        """Uploads within about `seconds`, evenly; returns when the last notice was answered."""
        entries, begun, told = self.session["upload_urls"], time.monotonic(), 0.0
        for number, entry in enumerate(entries, 1):
            time.sleep(max(0.0, begun + seconds * number / len(entries) - time.monotonic()))
            told = self.chunk(entry)
        return told

    def wait(self):
        self.reader.join()
        if self.status != "completed":
            sys.exit(f"the job of {self.path.name} ended as {self.status}")
        return self.ended


def repeated_sample(minutes, folder):
    """The sample again and again, as FLAC of so many minutes."""
    path = Path(folder, f"{minutes}min.flac")
    command = ["ffmpeg", "-v", "error", "-y", "-stream_loop", "-1", "-i", SAMPLE, "-t", str(minutes * 60), path]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def transcribe(path, *options):
    command = [PROGRAM, "transcribe", path, "--quiet", *options]
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
