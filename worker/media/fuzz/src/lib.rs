//! Shared by the fuzz targets. `make fuzz` builds and runs them.

use std::sync::Once;

pub mod check;

/// Longest input.
const LONGEST: usize = 256 * 1024;

/// libFuzzer ends at any panic, but one inside of a decoder is caught (`decode.rs`) and no finding. Those that nobody catches
/// still end the process: the target's frame does that.
fn let_panics_be_caught() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))));
}

/// Checks the bytes as they are.
pub fn any(bytes: &[u8]) {
    let_panics_be_caught();
    check::check(&bytes[..bytes.len().min(LONGEST)]);
}

/// Checks the bytes with marks written over them, so that they are taken for a certain container.
pub fn forced(marks: &[(usize, &[u8])], bytes: &[u8]) {
    let_panics_be_caught();
    let mut bytes = bytes[..bytes.len().min(LONGEST)].to_vec();
    for (at, mark) in marks {
        if bytes.len() < at + mark.len() {
            bytes.resize(at + mark.len(), 0);
        }
        bytes[*at..at + mark.len()].copy_from_slice(mark);
    }
    check::check(&bytes);
}
