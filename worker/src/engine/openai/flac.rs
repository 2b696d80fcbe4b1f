//! Sound as APIs take it: FLAC, 16 kHz, mono, 16 bits; some 0.5 MB for 30 s, where 25 MB are allowed.

use crate::engine::{EngineError, SAMPLE_RATE};
use flacenc::bitsink::ByteSink;
use flacenc::component::BitRepr;
use flacenc::config::Encoder;
use flacenc::error::Verify;
use flacenc::source::MemSource;

const BITS: usize = 16;

/// `samples` are from -1 to 1; what is louder is clipped.
///
/// # Errors
/// [`EngineError::Inference`] if the encoder refuses, which it has no reason to.
pub(super) fn encode(samples: &[f32]) -> Result<Vec<u8>, EngineError> {
    let failed = |what: String| EngineError::Inference(format!("FLAC: {what}"));
    let config = Encoder::default().into_verified().map_err(|(_, problem)| failed(problem.to_string()))?;
    let quantised: Vec<i32> =
        samples.iter().map(|sample| (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i32).collect();
    let source = MemSource::from_samples(&quantised, 1, BITS, SAMPLE_RATE as usize);
    let stream = flacenc::encode_with_fixed_block_size(&config, source, config.block_size)
        .map_err(|problem| failed(problem.to_string()))?;
    let mut sink = ByteSink::new();
    stream.write(&mut sink).map_err(|problem| failed(problem.to_string()))?;
    Ok(sink.into_inner())
}
