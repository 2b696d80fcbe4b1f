"""What no schema can say of a request, put right before it is sent. Only of requests that are to be accepted: what is wrong on
purpose stays wrong."""

import os
import struct

import schemathesis


def recording():
    """An eighth of a second of silence. In characters of ASCII, because a form's field is text to schemathesis."""
    samples = b"\x7f" * 1024
    head = struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    chunks = b"WAVEfmt " + head + b"data" + struct.pack("<I", len(samples)) + samples
    return (b"RIFF" + struct.pack("<I", len(chunks)) + chunks).decode("ascii")


RECORDING = recording()


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.path == "/jobs":
        # Only the server can make one.
        case.query.pop("cursor", None)
    if case.path == "/jobs/{id}/transcript" and case.query.get("format") not in ("srt", "vtt"):
        for name in ("max_line_width", "max_lines", "max_duration"):
            case.query.pop(name, None)
    if "Idempotency-Key" in case.headers:
        # Another request needs another key.
        case.headers["Idempotency-Key"] = case.id
    if isinstance(case.body, dict) and isinstance(case.body.get("webhook_url"), str):
        # Jobs do end here, and made-up names may be somebody's. No name ends like this one (RFC 2606).
        case.body["webhook_url"] = "https://receiver.invalid/"
    if isinstance(case.body, dict):
        first_chunks(case.body)
    if case.path == "/api/transcripts" and isinstance(case.body, dict):
        # What can be fetched is on no other machine.
        case.body.pop("source_key", None)
        case.body["source_url"] = os.environ["SCRIPTORIUM_TEST_SOURCE"]
    if case.media_type == "multipart/form-data" and isinstance(case.body, dict):
        form(case.path, case.body)


def first_chunks(body):
    """All jobs have a first chunk; how many more, no schema tells. As it came: 182.0 becomes 0.0."""
    if "chunk_index" in body:
        body["chunk_index"] *= 0
    if isinstance(body.get("chunk_indexes"), list):
        body["chunk_indexes"] = [index * 0 for index in body["chunk_indexes"]]


def form(path, body):
    body["file"] = RECORDING
    if "total_size" in body:
        body["total_size"] = len(RECORDING)
    if path == "/v1/audio/transcriptions":
        if body.get("response_format") != "verbose_json":
            body.pop("timestamp_granularities[]", None)
        if body.get("response_format", "json") not in ("json", "text"):
            body.pop("stream", None)



MADE, DELETED = set(), set()


@schemathesis.check
def jobs_are_there_until_they_are_deleted(_, response, case):
    """In place of `ensure_resource_availability` (tests/tests/openapi.rs): that one goes by addresses, and a job has several: what
    DELETE /jobs/{id} deletes is gone from /api/transcripts/{id} as well."""
    if response.status_code in (200, 202) and case.method == "POST":
        MADE.update(made_by(response))
    job = case.path_parameters.get("id") or case.query.get("parent_job_id")
    if not isinstance(job, str):
        return
    if job in DELETED:
        assert response.status_code >= 400, f"{job} was deleted, and is there"
    elif job in MADE and case.meta is not None and case.meta.generation.mode.is_positive:
        gone = response.status_code == 404 and response.json()["code"] == "job_not_found"
        assert not gone, f"{job} was made, and is not there"
    if case.method == "DELETE" and response.status_code == 200:
        DELETED.add(job)


def made_by(response):
    if "json" not in response.headers.get("content-type", [""])[0]:
        return []
    answer = response.json()
    return [answer[name] for name in ("id", "parent_job_id") if name in answer] if isinstance(answer, dict) else []
