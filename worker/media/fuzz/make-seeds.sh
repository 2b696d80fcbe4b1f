#!/bin/sh
# Makes the seeds again: short tones in silence, so that a minute takes few bytes. Needs ffmpeg and python3.
set -eu
cd "$(dirname "$0")/seeds"

# make FOLDER/NAME SECONDS RATE ARGUMENTS...: the tones rise, so that no two are equal.
make() {
    name=$1 seconds=$2 rate=$3
    shift 3
    mkdir -p "$(dirname "$name")"
    ffmpeg -v error -y -f lavfi \
        -i "aevalsrc='0.3*sin(2*PI*(90+3*t)*t)*lt(mod(t,11),0.7)':sample_rate=$rate:duration=$seconds" \
        -fflags +bitexact -flags:a +bitexact -metadata title=Seed "$@" "$name"
}

# More than three times the 20 seconds within which an anchor has to be the highest.
LONG=64

make wav/long.wav 52 1000 -c:a pcm_mulaw
make wav/float.wav 1 2000 -c:a pcm_f32le -ac 2
make wav/rf64.wav 1 2000 -c:a pcm_s24le -rf64 always
make wav/mp3.wav 3 8000 -c:a libmp3lame -b:a 8k
make w64/short.w64 1 2000
make au/short.au 1 2000
make aiff/short.aiff 1 2000
make aiff/companded.aiff 3 2000 -c:a pcm_alaw
make caf/float.caf 1 2000 -c:a pcm_f32le
make caf/alac.caf $LONG 4000 -c:a alac -sample_fmt s16p
make caf/opus.caf $LONG 48000 -c:a libopus -b:a 6k -frame_duration 60 -application voip
make flac/long.flac $LONG 4000 -sample_fmt s16
make flac/stereo.flac 2 8000 -ac 2 -sample_fmt s32
make mp3/long.mp3 $LONG 8000 -b:a 8k
make mp3/variable.mp3 4 44100 -q:a 9
make ogg/opus.ogg $LONG 48000 -c:a libopus -b:a 6k -frame_duration 60 -application voip
make ogg/vorbis.ogg $LONG 8000 -c:a libvorbis -q:a 0
make ogg/flac.ogg $LONG 4000 -c:a flac -sample_fmt s16
make matroska/opus.webm $LONG 48000 -c:a libopus -b:a 6k -frame_duration 60 -application voip
make matroska/vorbis.webm 10 8000 -c:a libvorbis -q:a 0
make matroska/aac.mka $LONG 8000 -c:a aac -b:a 8k
make matroska/pcm.mka 1 2000 -c:a pcm_s16le
make mp4/aac-last.m4a $LONG 8000 -c:a aac -b:a 8k
make mp4/aac-first.m4a $LONG 8000 -c:a aac -b:a 8k -movflags +faststart
make mp4/aac-fragmented.mp4 $LONG 8000 -c:a aac -b:a 8k -movflags +frag_keyframe+empty_moov -frag_duration 10000000
make mp4/alac.m4a $LONG 4000 -c:a alac -sample_fmt s16p
make mp4/pcm.mov 1 2000 -c:a pcm_s16be
make adts/long.aac $LONG 8000 -c:a aac -b:a 8k

# What ffmpeg does not write: AAC in CAF, with its table before the data; big-endian WAVE.
python3 - <<'PYTHON'
import struct

adts = open("adts/long.aac", "rb").read()
at, data, table, packets = 0, bytes(4), b"", 0
while at < len(adts):
    size = (adts[at + 3] & 3) << 11 | adts[at + 4] << 3 | adts[at + 5] >> 5
    packet = adts[at + 7 : at + size]
    table += bytes([0x80 | len(packet) >> 7] if len(packet) > 127 else []) + bytes([len(packet) & 0x7F])
    data, at, packets = data + packet, at + size, packets + 1
# AudioSpecificConfig: low complexity, 8 kHz, mono.
cookie = (
    bytes.fromhex("03808080220000000480808014401500000000000000000000000580808002")
    + bytes([2 << 3 | 11 >> 1, (11 & 1) << 7 | 1 << 3])
    + bytes.fromhex("06808080" "0102")
)
chunks = [
    (b"desc", struct.pack(">d4s5I", 8000, b"aac ", 2, 0, 1024, 1, 0)),
    (b"kuki", cookie),
    (b"pakt", struct.pack(">qqii", packets, packets * 1024 - 2112, 1024, 1088 % 1024) + table),
    (b"data", data),
]
with open("caf/aac.caf", "wb") as file:
    file.write(b"caff\0\1\0\0" + b"".join(id + struct.pack(">q", len(body)) + body for id, body in chunks))

samples = bytes(value % 251 for value in range(4000))
chunk = lambda id, body: id + struct.pack(">I", len(body)) + body
body = b"WAVE" + chunk(b"fmt ", struct.pack(">HHIIHH", 1, 1, 2000, 4000, 2, 16)) + chunk(b"data", samples)
with open("wav/big-endian.wav", "wb") as file:
    file.write(chunk(b"RIFX", body))
PYTHON
