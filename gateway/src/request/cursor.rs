//! Cursors of lists: where the next page begins, opaque for clients.
//!
//! A cursor is the place in the order and a digest of it and of the list's filters, in hexadecimal digits. It keeps no
//! secret and opens no door (it can only begin a list at another place), so the digest has no key: it is there to find
//! cursors that were cut off, made up, or taken from a list with other filters. Any gateway can use any other's.

use crate::problem::{Code, Problem};
use scriptorium_contracts::{JobId, Timestamp};
use scriptorium_shared::store::JobKey;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Bytes of the time, of the id and of the digest.
const LENGTHS: [usize; 3] = [8, 16, 8];

/// `list` stands for the filters and the order.
pub fn encode(key: JobKey, list: &str) -> String {
    let place = place(key);
    hex::encode([place.as_slice(), &digest(&place, list)].concat())
}

/// # Errors
/// The problem `invalid_cursor`.
pub fn decode(cursor: &str, list: &str) -> Result<JobKey, Problem> {
    let wrong = || {
        let detail = "The cursor is not one of this list. Take \"next_cursor\" of the page before, with the same filters.";
        Problem::new(Code::InvalidCursor, detail)
    };
    let length: usize = LENGTHS.iter().sum();
    // Before it is decoded: it may be of any length.
    if cursor.len() != 2 * length {
        return Err(wrong());
    }
    let bytes = hex::decode(cursor).map_err(|_| wrong())?;
    let (created, rest) = bytes.split_first_chunk::<8>().ok_or_else(wrong)?;
    let (id, found) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
    let job = JobId::new(Uuid::from_bytes(*id));
    let key = JobKey { created: Timestamp(u64::from_be_bytes(*created)), job };
    if digest(&place(key), list) == found { Ok(key) } else { Err(wrong()) }
}

fn place(key: JobKey) -> Vec<u8> {
    [key.created.0.to_be_bytes().as_slice(), key.job.as_uuid().as_bytes()].concat()
}

fn digest(place: &[u8], list: &str) -> Vec<u8> {
    let mut digest = Sha256::new();
    digest.update(b"jobs v1\0");
    digest.update(place);
    digest.update(list);
    digest.finalize().iter().take(LENGTHS[2]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_and_no_other_one_does(created: u64, id: u128, list in ".{0,40}", at in 0usize..64, digit in 0u8..16) {
            let key = JobKey { created: Timestamp(created), job: JobId::new(Uuid::from_u128(id)) };
            let cursor = encode(key, &list);
            prop_assert_eq!(decode(&cursor, &list), Ok(key));
            let other = list.clone() + "x";
            prop_assert!(decode(&cursor, &other).is_err());
            let mut changed = cursor.clone();
            let digit = format!("{digit:x}");
            changed.replace_range(at..=at, &digit);
            prop_assert_eq!(decode(&changed, &list).is_ok(), changed == cursor);
            prop_assert!(decode(&cursor[..at], &list).is_err());
        }

        #[test]
        fn anything_else_is_refused(cursor in "\\PC{0,80}") {
            prop_assert_eq!(decode(&cursor, "").map_err(|problem| problem.code), Err(Code::InvalidCursor));
        }
    }
}
