//! A Matroska writer for what ffmpeg does not write: lacing, common prefixes, chosen times and sizes.

/// How packets share a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacing {
    None,
    Xiph,
    Fixed,
    Ebml,
}

/// The frames of an ADTS stream, with their headers.
pub fn adts_frames(bytes: &[u8]) -> Vec<&[u8]> {
    let mut rest = bytes;
    let mut frames = Vec::new();
    while rest.len() >= 7 {
        let len = usize::from(rest[3] & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5]) >> 5;
        let (frame, after) = rest.split_at(len);
        frames.push(frame);
        rest = after;
    }
    frames
}

fn id(id: u32) -> Vec<u8> {
    id.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()
}

/// An element of known size.
pub fn element(which: u32, body: &[u8]) -> Vec<u8> {
    [id(which), (0x1000_0000 | body.len() as u32).to_be_bytes().to_vec(), body.to_vec()].concat()
}

/// A file of one sound track, under way.
pub struct Muxer {
    track: Vec<u8>,
    clusters: Vec<u8>,
    open: Option<(bool, Vec<u8>)>,
}

impl Muxer {
    pub fn new(codec: &str, setup: &[u8], rate: f64, channels: u8) -> Self {
        let audio = [element(0xb5, &rate.to_be_bytes()), element(0x9f, &[channels]), element(0x6264, &[16])];
        let fields = [
            element(0xd7, &[1]),
            element(0x73c5, &[1]),
            element(0x83, &[2]),
            element(0x86, codec.as_bytes()),
            element(0x63a2, setup),
            element(0xe1, &audio.concat()),
        ];
        Self { track: fields.concat(), clusters: Vec::new(), open: None }
    }

    /// Says that this was taken off the beginning of each packet.
    pub fn prefix(&mut self, prefix: &[u8]) {
        if !prefix.is_empty() {
            let compression = [element(0x4254, &[3]), element(0x4255, prefix)].concat();
            let encoding = [element(0x5033, &[0]), element(0x5034, &compression)].concat();
            self.track.extend(element(0x6d80, &element(0x6240, &encoding)));
        }
    }

    /// Begins a cluster at this millisecond, of known or unknown size.
    pub fn cluster(&mut self, at: u64, sized: bool) {
        self.close();
        self.open = Some((sized, element(0xe7, &at.to_be_bytes())));
    }

    /// A block this many milliseconds after its cluster, alone or in a group.
    pub fn block(&mut self, packets: &[Vec<u8>], lacing: Lacing, group: bool, at: u64) {
        let mut body = vec![0x81];
        body.extend(i16::try_from(at).unwrap().to_be_bytes());
        body.push(
            match lacing {
                Lacing::None => 0,
                Lacing::Xiph => 2,
                Lacing::Fixed => 4,
                Lacing::Ebml => 6,
            } | if group { 0 } else { 0x80 },
        );
        if lacing != Lacing::None {
            body.push(packets.len() as u8 - 1);
        }
        let laced = &packets[..packets.len() - 1];
        match lacing {
            Lacing::None | Lacing::Fixed => {}
            Lacing::Xiph => {
                for packet in laced {
                    body.extend(std::iter::repeat_n(255, packet.len() / 255));
                    body.push((packet.len() % 255) as u8);
                }
            }
            Lacing::Ebml => {
                let mut before = None;
                for packet in laced {
                    let len = packet.len() as i32;
                    // Two bytes: 14 bits.
                    let value = before.map_or(len, |before: i32| len - before + 0x1fff);
                    body.extend((0x4000 | value as u16).to_be_bytes());
                    before = Some(len);
                }
            }
        }
        body.extend(packets.concat());
        let element = if group {
            element(0xa0, &[element(0xa1, &body), element(0x9b, &[20])].concat())
        } else {
            element(0xa3, &body)
        };
        self.open.as_mut().unwrap().1.extend(element);
    }

    fn close(&mut self) {
        if let Some((sized, body)) = self.open.take() {
            if sized {
                self.clusters.extend(element(0x1f43_b675, &body));
            } else {
                self.clusters.extend([0x1f, 0x43, 0xb6, 0x75, 0x01, 255, 255, 255, 255, 255, 255, 255]);
                self.clusters.extend(body);
            }
        }
    }

    /// The whole file; its segment is of unknown size.
    pub fn finish(mut self) -> Vec<u8> {
        self.close();
        let head = [element(0x4282, b"matroska"), element(0x4287, &[4]), element(0x4285, &[2])];
        let segment = [0x18, 0x53, 0x80, 0x67, 0x01, 255, 255, 255, 255, 255, 255, 255];
        let info = element(0x1549_a966, &element(0x2a_d7b1, &1_000_000u32.to_be_bytes()));
        let tracks = element(0x1654_ae6b, &element(0xae, &self.track));
        [element(0x1a45_dfa3, &head.concat()), segment.to_vec(), info, tracks, self.clusters].concat()
    }
}
