"""A client of the upload API on the standard library, and `serve` as a child process."""
import concurrent.futures
import http.client
import itertools
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

MB = 1 << 20


def call(url, body=None, method=None, headers=None):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    kind = {} if data is None or isinstance(body, bytes) else {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=data, method=method, headers={**kind, **(headers or {})})
    with urllib.request.urlopen(request, timeout=600) as reply:
        return reply.read()


class Serve:
    """with Serve(workers=2) as serve: ... ; serve.peak_mib after the end."""

    def __init__(self, binary, **settings):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        # What is measured is the work, not what is remembered of it.
        settings = {"cache_ttl_seconds": 0, **settings}
        self.binary, self.settings = binary, {f"SCRIPTORIUM_{k.upper()}": str(v) for k, v in settings.items()}
        self.peak_mib = 0.0

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [self.binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", self.folder.name],
            env={**os.environ, **self.settings}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                call(self.url + "/readyz")
                break
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit("serve ended before it was ready")
                time.sleep(0.1)
        return self

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self, field="VmHWM"):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field))

    def __exit__(self, *_):
        self.peak_mib = self.memory_mib()
        self.process.terminate()
        self.process.wait(30)
        self.folder.cleanup()


def upload(url, path, chunk_size_mb=5, seconds=0.0, parallel=3):
    """Uploads a file, evenly over `seconds`; returns (job, time of the last notice)."""
    size = os.path.getsize(path)
    job = json.loads(call(url + "/chunked-upload-stream", {
        "filename": os.path.basename(path), "total_size": size, "chunk_size_mb": chunk_size_mb}))
    chunks, begun = job["upload_urls"], time.monotonic()
    last = threading.Lock(), [0.0]

    def one(number, chunk):
        due = begun + seconds * (number + 1) / len(chunks)
        time.sleep(max(0.0, due - time.monotonic()))
        first, end = chunk["byte_range"]
        with open(path, "rb") as file:
            file.seek(first)
            call(chunk["upload_url"], file.read(end - first + 1), "PUT")
        call(url + "/chunk-upload-complete", {"parent_job_id": job["parent_job_id"],
                                              "chunk_index": chunk["chunk_index"], "actual_size": end - first + 1})
        with last[0]:
            last[1][0] = max(last[1][0], time.monotonic())

    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        for done in [pool.submit(one, n, c) for n, c in enumerate(chunks)]:
            done.result()
    return job["parent_job_id"], last[1][0]


def upload_whole(url, filename, size, pieces):
    """Sends a recording of `size` bytes in one piece; returns the job."""
    border = "scriptorium-bench"
    head = (f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n").encode()
    tail = f"\r\n--{border}--\r\n".encode()
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=600)
    connection.request("POST", "/api/transcripts/upload", itertools.chain([head], pieces, [tail]), {
        "Content-Type": f"multipart/form-data; boundary={border}", "Content-Length": str(len(head) + size + len(tail))})
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    if reply.status != 202:
        raise SystemExit(f"the upload was answered with {reply.status}: {body[:500]}")
    return json.loads(body)["id"]


def wait(url, job):
    """Reads the stream to its last frame; returns (frame, when it came)."""
    ends = ("final_result", "job_failed", "cancelled")
    while True:
        with urllib.request.urlopen(f"{url}/chunked-stream/{job}", timeout=3600) as stream:
            for line in stream:
                if line.startswith(b"data:"):
                    frame = json.loads(line[5:])
                    if frame.get("type") in ends:
                        return frame, time.monotonic()


def transcript(url, job, form="json"):
    return call(f"{url}/jobs/{job}/transcript?format={form}")
