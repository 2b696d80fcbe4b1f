//! What the file of weights (`model.bin`) says of the decoder's shape.
//!
//! The inference library takes the list of attention heads that tell times from `config.json` and looks them up without
//! checking that they exist; so that is checked here. The file's layout is that of CTranslate2's `Model::load`
//! (`src/models/model.cc`, binary versions 4 to 6), all little-endian.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// Versions of the file's form that are read.
const VERSIONS: std::ops::RangeInclusive<u32> = 4..=6;
/// Most variables of a file: large-v3 has some 1 500.
const MAX_VARIABLES: u32 = 100_000;
/// Most dimensions of a variable.
const MAX_RANK: u8 = 8;
/// Heads of a layer, if the file does not say.
const USUAL_HEADS: u32 = 8;

/// The decoder's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderShape {
    pub layers: u32,
    /// Attention heads of each layer.
    pub heads: u32,
}

impl DecoderShape {
    /// Whether these are attention heads (layer, head) of such a decoder, and at least one.
    pub fn has(&self, heads: &[(u32, u32)]) -> bool {
        !heads.is_empty() && heads.iter().all(|&(layer, head)| layer < self.layers && head < self.heads)
    }
}

/// Reads the names in a file of weights, not the weights.
///
/// # Errors
/// The file cannot be read, or is none of weights.
pub fn decoder_shape(path: &Path) -> io::Result<DecoderShape> {
    let mut file = BufReader::new(File::open(path)?);
    if !VERSIONS.contains(&u32::from_le_bytes(array(&mut file)?)) {
        return Err(unreadable("an unknown version"));
    }
    name(&mut file)?; // the model's kind
    array::<4>(&mut file)?; // and its revision
    let variables = u32::from_le_bytes(array(&mut file)?);
    if variables > MAX_VARIABLES {
        return Err(unreadable("too many variables"));
    }
    let mut layers = BTreeSet::new();
    let mut heads = USUAL_HEADS;
    for _ in 0..variables {
        let name = name(&mut file)?;
        let size = size_of_value(&mut file)?;
        if let Some((layer, _)) = name.strip_prefix("decoder/layer_").and_then(|rest| rest.split_once('/')) {
            layers.extend(layer.parse::<u32>().ok());
        }
        if name == "decoder/num_heads" && (1..=4).contains(&size) {
            let mut value = [0; 4];
            file.by_ref().take(u64::from(size)).read_exact(&mut value[..size as usize])?;
            heads = u32::from_le_bytes(value);
        } else {
            file.seek_relative(i64::from(size))?;
        }
    }
    // The library counts them up to the first that is missing.
    let layers = (0..).zip(&layers).take_while(|(expected, layer)| expected == *layer).count();
    Ok(DecoderShape { layers: layers as u32, heads })
}

/// Bytes of the value that follows.
fn size_of_value(file: &mut BufReader<File>) -> io::Result<u32> {
    let [rank] = array(file)?;
    if rank > MAX_RANK {
        return Err(unreadable("too many dimensions"));
    }
    file.seek(SeekFrom::Current(4 * i64::from(rank) + 1))?; // the dimensions and the type
    Ok(u32::from_le_bytes(array(file)?))
}

/// A name with its length before and a zero at its end.
fn name(file: &mut BufReader<File>) -> io::Result<String> {
    let length = u16::from_le_bytes(array(file)?);
    let mut bytes = vec![0; usize::from(length)];
    file.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(&bytes)).into_owned())
}

fn array<const N: usize>(file: &mut BufReader<File>) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u32, variables: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
        let name = |name: &str| [&(name.len() as u16 + 1).to_le_bytes()[..], name.as_bytes(), &[0]].concat();
        let mut bytes = [&version.to_le_bytes()[..], &name("WhisperSpec"), &3u32.to_le_bytes()].concat();
        bytes.extend((variables.len() as u32).to_le_bytes());
        for (variable, value) in variables {
            bytes.extend(name(variable));
            bytes.extend([2, 1, 0, 0, 0, 7, 0, 0, 0, 1]); // two dimensions and a type
            bytes.extend((value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(value);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn layers_and_heads_are_counted() {
        let variables: [(&str, &[u8]); 6] = [
            ("decoder/layer_0/self_attention/linear_0/weight", &[1; 5_000]),
            ("decoder/layer_1/self_attention/linear_0/weight", &[1; 20_000]),
            ("decoder/layer_1/ffn/linear_0/weight", b""),
            ("decoder/layer_3/ffn/linear_0/weight", b"abc"),
            ("decoder/num_heads", &[6, 0]),
            ("encoder/layer_7/ffn/linear_0/weight", b"abc"),
        ];
        let shape = decoder_shape(file(6, &variables).path()).unwrap();
        assert_eq!(shape, DecoderShape { layers: 2, heads: 6 });
        assert!(shape.has(&[(0, 0), (1, 5)]));
        for foreign in [&[][..], &[(0, 0), (2, 0)], &[(1, 6)], &[(u32::MAX, 0)]] {
            assert!(!shape.has(foreign), "{foreign:?}");
        }
        let silent = decoder_shape(file(4, &variables[..1]).path()).unwrap();
        assert_eq!(silent, DecoderShape { layers: 1, heads: 8 });
    }

    #[test]
    fn what_is_no_file_of_weights_is_an_error() {
        let whole = std::fs::read(file(6, &[("decoder/num_heads", &[6, 0])]).path()).unwrap();
        let cut = tempfile::NamedTempFile::new().unwrap();
        for end in 0..whole.len() {
            std::fs::write(cut.path(), &whole[..end]).unwrap();
            assert!(decoder_shape(cut.path()).is_err(), "{end} bytes of {}", whole.len());
        }
        assert!(decoder_shape(file(3, &[]).path()).is_err());
        std::fs::write(cut.path(), [0xff; 4096]).unwrap();
        assert!(decoder_shape(cut.path()).is_err());
    }
}
