//! EBML (RFC 8794): element headers and the values of small elements.

/// Longest header: an ID of 4 bytes and a size of 8.
pub(crate) const MAX_HEADER: u64 = 12;

/// The header of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The ID with its length marker, as specifications write it.
    pub id: u32,
    /// Bytes of the header.
    pub len: u64,
    /// Bytes of the body; `None` where the writer did not know it.
    pub size: Option<u64>,
}

/// Parses the header at the start of `bytes` (sections 5 and 6).
pub(crate) fn header(bytes: &[u8]) -> Option<Header> {
    let id_len = usize::try_from(bytes.first()?.leading_zeros()).ok()? + 1;
    if id_len > 4 {
        return None;
    }
    let id = bytes.get(..id_len)?.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    let (size, size_len) = vint(bytes.get(id_len..)?)?;
    // All ones: unknown.
    let unknown = size == (1 << (7 * size_len)) - 1;
    Some(Header { id, len: (id_len + size_len) as u64, size: (!unknown).then_some(size) })
}

/// A number of variable length without its marker, and its bytes (section 4).
pub(crate) fn vint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let len = usize::try_from(first.leading_zeros()).ok()? + 1;
    if len > 8 {
        return None;
    }
    let marker = 0x80u8 >> (len - 1);
    let rest = bytes.get(1..len)?;
    Some((rest.iter().fold(u64::from(first ^ marker), |value, byte| value << 8 | u64::from(*byte)), len))
}

/// The elements inside a body, in order; ends at the first that does not fit.
pub(crate) fn children(body: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let header = header(rest)?;
        let start = usize::try_from(header.len).ok()?;
        let end = start.checked_add(usize::try_from(header.size?).ok()?)?;
        let child = rest.get(start..end)?;
        rest = &rest[end..];
        Some((header.id, child))
    })
}

/// An unsigned integer of up to 8 bytes; longer ones are nonsense and read as `None`.
pub(crate) fn unsigned(body: &[u8]) -> Option<u64> {
    (body.len() <= 8).then(|| body.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// A signed integer of up to 8 bytes.
pub(crate) fn signed(body: &[u8]) -> Option<i64> {
    let value = unsigned(body)?;
    let unused = 64 - 8 * u32::try_from(body.len()).ok()?;
    if unused == 64 { Some(0) } else { Some((value << unused).cast_signed() >> unused) }
}

/// A number of 4 or 8 bytes.
pub(crate) fn float(body: &[u8]) -> Option<f64> {
    match body.len() {
        0 => Some(0.0),
        4 => super::array(body, 0).map(|bytes| f64::from(f32::from_be_bytes(bytes))),
        8 => super::array(body, 0).map(f64::from_be_bytes),
        _ => None,
    }
}

/// Text, up to the first zero.
pub(crate) fn text(body: &[u8]) -> String {
    let end = body.iter().position(|byte| *byte == 0).unwrap_or(body.len());
    String::from_utf8_lossy(&body[..end]).trim().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_all_lengths() {
        let cluster = header(&[0x1f, 0x43, 0xb6, 0x75, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(cluster, Some(Header { id: 0x1f43_b675, len: 12, size: None }));
        assert_eq!(header(&[0xa3, 0x40, 0xfc, 9]), Some(Header { id: 0xa3, len: 3, size: Some(252) }));
        assert_eq!(header(&[0xe7, 0xff]), Some(Header { id: 0xe7, len: 2, size: None }));
        assert_eq!(header(&[0x08, 0x81]), None);
        assert_eq!(header(&[0xa3, 0x00]), None);
        assert_eq!(header(&[0xa3, 0x10, 0]), None);
        assert_eq!(header(&[]), None);
    }

    #[test]
    fn values() {
        assert_eq!(signed(&[0xff]), Some(-1));
        assert_eq!(signed(&[0x01, 0x19, 0xf8, 0x3f]), Some(0x0119_f83f));
        assert_eq!(signed(&[]), Some(0));
        assert_eq!(unsigned(&[1; 9]), None);
        assert_eq!(float(&[0x40, 0xe7, 0x70, 0, 0, 0, 0, 0]), Some(48_000.0));
        assert_eq!(text(b"A_OPUS\0\0"), "A_OPUS");
        let body = [0xd7, 0x81, 1, 0x86, 0x82, b'A', b'B', 0xa3, 0x85, 1];
        assert_eq!(children(&body).collect::<Vec<_>>(), [(0xd7, &[1u8][..]), (0x86, b"AB")]);
    }
}
