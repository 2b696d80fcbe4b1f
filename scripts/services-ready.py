"""Waits until services answer: services-ready.py ENV-FILE SECONDS NAME:PID...

NAME is rabbitmq, redis or s3. Ready means that the service does its work, not only that its port is open: RabbitMQ
greets, Redis takes the password, an object can be put into the S3 server. Ends with 0 when all are ready; otherwise
prints the name of one that is not and why, and ends with 1, at once when its process has ended. With 0 SECONDS each is
asked once. A PID of 0 is not looked at.
"""

import datetime
import hashlib
import hmac
import http.client
import socket
import sys
import time
import urllib.parse

PATIENCE = 5  # seconds for one answer
BUCKET = "readiness-probe"


def read_env(path):
    with open(path, encoding="utf-8") as file:
        pairs = [line.rstrip("\n").split("=", 1) for line in file if "=" in line and not line.startswith("#")]
    return {name: value.strip("'") for name, value in pairs}


def rabbitmq(env):
    url = urllib.parse.urlsplit(env["SCRIPTORIUM_AMQP_URL"])
    with socket.create_connection((url.hostname, url.port), PATIENCE) as peer:
        peer.sendall(b"AMQP\x00\x00\x09\x01")
        # A method frame on channel 0: connection.start. A broker that is not up yet sends its own header, or nothing.
        start = peer.recv(3)
        if start != b"\x01\x00\x00":
            raise OSError("no greeting yet")


def redis(env):
    url = urllib.parse.urlsplit(env["SCRIPTORIUM_REDIS_URL"])
    with socket.create_connection((url.hostname, url.port), PATIENCE) as peer:
        peer.sendall(f"AUTH {url.password}\r\nPING\r\n".encode())
        answer = b""
        while answer.count(b"\r\n") < 2:
            more = peer.recv(200)
            if not more:
                break
            answer += more
        # While the log is being read after a start, PING is answered with -LOADING.
        if answer != b"+OK\r\n+PONG\r\n":
            raise OSError(f"it answered {answer!r}")


def signed(env, method, path, body=b""):
    """One request with an AWS signature, version 4; returns the status and the body of the answer."""
    host = urllib.parse.urlsplit(env["SCRIPTORIUM_S3_ENDPOINT"]).netloc
    region = env["SCRIPTORIUM_S3_REGION"]
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    content = hashlib.sha256(body).hexdigest()
    names = "host;x-amz-content-sha256;x-amz-date"
    canonical = f"{method}\n{path}\n\nhost:{host}\nx-amz-content-sha256:{content}\nx-amz-date:{now}\n\n{names}\n{content}"
    to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + env["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in (*scope.split("/"), to_sign):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={env['AWS_ACCESS_KEY_ID']}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )
    headers = {"x-amz-date": now, "x-amz-content-sha256": content, "Authorization": authorization}
    connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(1 << 20)
    finally:
        connection.close()


def s3(env):
    # The S3 side answers before the side that stores can take anything, so only a write proves that it is ready. The
    # bucket goes away again, and with it what it took on the disk.
    object_ = f"/{BUCKET}/object"
    for method, path, body, wanted in (
        ("PUT", f"/{BUCKET}", b"", (200, 409)),
        ("PUT", object_, b"ready", (200,)),
        ("DELETE", f"/{BUCKET}", b"", (204,)),
    ):
        status, _ = signed(env, method, path, body)
        if status not in wanted:
            raise OSError(f"{method} {path} was answered with {status}")


def ended(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(") ")[2][0] in "ZX"
    except FileNotFoundError:
        return True


def wait(env, name, pid, deadline):
    ask = {"rabbitmq": rabbitmq, "redis": redis, "s3": s3}[name]
    while True:
        # Before the question: another program on the same port might answer it.
        if pid and ended(pid):
            return "its process has ended"
        try:
            ask(env)
            return None
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() >= deadline:
                return f"not ready: {error}"
        time.sleep(0.1)


def main():
    env, deadline = read_env(sys.argv[1]), time.monotonic() + float(sys.argv[2])
    for argument in sys.argv[3:]:
        name, _, pid = argument.partition(":")
        trouble = wait(env, name, int(pid or 0), deadline)
        if trouble:
            print(f"{name}: {trouble}", flush=True)
            sys.exit(1)


if __name__ == "__main__":
    main()
