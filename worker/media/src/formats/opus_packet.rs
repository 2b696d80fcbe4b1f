//! Opus packets: their duration by their first bytes.

/// 120 ms (RFC 6716, section 3.2.5).
pub(crate) const MOST_FRAMES: u32 = 5_760;

/// Duration by the table of contents (RFC 6716, section 3.1), at 48 kHz.
pub(crate) fn frames(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let config = toc >> 3;
    let frame = match config {
        0..12 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        12..16 => [480, 960][usize::from(config & 1)],
        _ => 120 << (config & 3),
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    Some(frame * count).filter(|count| (1..=MOST_FRAMES).contains(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opus_packets_tell_their_duration() {
        assert_eq!(frames(&[1 << 3]), Some(960));
        assert_eq!(frames(&[3 << 3 | 1]), Some(5_760));
        assert_eq!(frames(&[12 << 3 | 2]), Some(960));
        assert_eq!(frames(&[16 << 3]), Some(120));
        assert_eq!(frames(&[31 << 3 | 3, 0x86]), Some(5_760));
        assert_eq!(frames(&[31 << 3 | 3, 7]), None);
        assert_eq!(frames(&[31 << 3 | 3, 0]), None);
        assert_eq!(frames(&[31 << 3 | 3]), None);
        assert_eq!(frames(&[]), None);
    }
}
