"""The official client of OpenAI's API against a server of ours.

check.py URL RECORDING EXPECTED: RECORDING has more than 25 MB; EXPECTED is a folder with its transcript as chunked uploads gave
it: transcript.json with times of words, .txt, .srt and .vtt without; and picture.png, which is no recording.
"""

import io
import json
import pathlib
import sys

import openai


def main(url, recording, folder):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=600)
    recording, folder = pathlib.Path(recording), pathlib.Path(folder)
    expected = json.loads((folder / "transcript.json").read_text())

    def create(**options):
        with recording.open("rb") as file:
            return client.audio.transcriptions.create(file=file, model="whisper-1", **options)

    assert recording.stat().st_size > 25 << 20
    answer = create()
    assert answer.text == expected["text"], answer
    assert answer.usage.type == "duration" and 0 <= answer.usage.seconds - expected["duration"] < 1, answer

    for name, ending in [("text", "txt"), ("srt", "srt"), ("vtt", "vtt")]:
        assert create(response_format=name) == (folder / f"transcript.{ending}").read_text(), name

    verbose = create(response_format="verbose_json", timestamp_granularities=["word", "segment"], language="en", temperature=0)
    assert verbose.text == expected["text"] and verbose.language == "english"
    assert verbose.duration == expected["duration"]
    words = [word for segment in expected["segments"] for word in segment["words"]]
    assert [(word.word, word.start, word.end) for word in verbose.words] == [
        (word["word"].strip(), word["start"], word["end"]) for word in words
    ]
    assert len(words) > 20
    for ours, theirs in zip(expected["segments"], verbose.segments, strict=True):
        assert (theirs.id, theirs.start, theirs.end, theirs.text) == (ours["id"], ours["start"], ours["end"], ours["text"])
        assert theirs.avg_logprob == ours["avg_logprob"] and theirs.no_speech_prob == ours["no_speech_prob"]
        assert theirs.compression_ratio > 0 and theirs.seek == round(ours["start"] * 100)

    *deltas, last = create(stream=True)
    assert all(event.type == "transcript.text.delta" for event in deltas) and deltas
    assert "".join(event.delta for event in deltas) == expected["text"]
    assert last.type == "transcript.text.done" and last.text == expected["text"]

    refused(lambda: create(temperature=0.7), "temperature", "not_supported_yet")
    refused(lambda: create(language="klingon"), "language", "invalid_field")
    refused(lambda: create(extra_body={"colour": "red"}), "colour", "unknown_field")
    picture = io.BytesIO((folder / "picture.png").read_bytes())
    no_audio = lambda: client.audio.transcriptions.create(file=("picture.png", picture), model="whisper-1")
    refused(no_audio, "file", "not_audio")


def refused(call, param, code):
    try:
        call()
    except openai.BadRequestError as error:
        assert (error.param, error.code, error.type) == (param, code, "invalid_request_error"), error.body
        assert error.message
    else:
        raise AssertionError(f"{param} was taken")


if __name__ == "__main__":
    main(*sys.argv[1:])
