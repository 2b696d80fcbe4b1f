//! The sums that a client declares for its body (`Content-MD5`, `x-amz-checksum-*`, in a header or in a trailer).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::dto::{Checksum, PutObjectInput};
use s3s::{S3Result, TrailingHeaders, s3_error};

const CRC32: &str = "x-amz-checksum-crc32";
const CRC32C: &str = "x-amz-checksum-crc32c";
const CRC64NVME: &str = "x-amz-checksum-crc64nvme";
const SHA1: &str = "x-amz-checksum-sha1";
const SHA256: &str = "x-amz-checksum-sha256";

/// Sums in base64, as declared before the body; `trailer` names the one that follows it.
pub struct Declared {
    md5: Option<String>,
    sums: Checksum,
    trailer: Option<String>,
}

impl Declared {
    pub fn of(input: &PutObjectInput, headers: &HeaderMap) -> Self {
        let sums = Checksum {
            checksum_crc32: input.checksum_crc32.clone(),
            checksum_crc32c: input.checksum_crc32c.clone(),
            checksum_crc64nvme: input.checksum_crc64nvme.clone(),
            checksum_sha1: input.checksum_sha1.clone(),
            checksum_sha256: input.checksum_sha256.clone(),
            ..Checksum::default()
        };
        let trailer = headers.get("x-amz-trailer").and_then(|name| name.to_str().ok());
        Self { md5: input.content_md5.clone(), sums, trailer: trailer.map(str::to_ascii_lowercase) }
    }

    /// Computes the declared sums and no others.
    pub fn hasher(&self) -> ChecksumHasher {
        let wanted = |sum: &Option<String>, name| sum.is_some() || self.trailer.as_deref() == Some(name);
        ChecksumHasher {
            crc32: wanted(&self.sums.checksum_crc32, CRC32).then(Crc32::new),
            crc32c: wanted(&self.sums.checksum_crc32c, CRC32C).then(Crc32c::new),
            crc64nvme: wanted(&self.sums.checksum_crc64nvme, CRC64NVME).then(Crc64Nvme::new),
            sha1: wanted(&self.sums.checksum_sha1, SHA1).then(Sha1::new),
            sha256: wanted(&self.sums.checksum_sha256, SHA256).then(Sha256::new),
        }
    }

    /// Compares, once the body (and with it the trailer) is in. `BadDigest` names nothing: it is the client's own sum.
    pub fn check(self, md5: &[u8; 16], sums: &Checksum, trailers: Option<&TrailingHeaders>) -> S3Result<()> {
        let trailers = trailers.and_then(TrailingHeaders::take).unwrap_or_default();
        let announced = |name| self.trailer.as_deref() == Some(name);
        let same = |declared: &Option<String>, actual: &Option<String>, name| {
            let trailing = || trailers.get(name).and_then(|sum| sum.to_str().ok()).map(str::to_owned);
            match declared.clone().or_else(trailing) {
                Some(declared) => actual.as_ref() == Some(&declared),
                // A sum that was announced and never came.
                None => !announced(name),
            }
        };
        let all_same = self.md5.is_none_or(|declared| declared == STANDARD.encode(md5))
            && same(&self.sums.checksum_crc32, &sums.checksum_crc32, CRC32)
            && same(&self.sums.checksum_crc32c, &sums.checksum_crc32c, CRC32C)
            && same(&self.sums.checksum_crc64nvme, &sums.checksum_crc64nvme, CRC64NVME)
            && same(&self.sums.checksum_sha1, &sums.checksum_sha1, SHA1)
            && same(&self.sums.checksum_sha256, &sums.checksum_sha256, SHA256);
        if all_same { Ok(()) } else { Err(s3_error!(BadDigest, "the body does not match the declared sum")) }
    }
}
