//! From bytes to samples: what a recording is, which passages a chunk of it owns, and how they sound.
//!
//! Bytes are cut where the client's network likes it; text must not notice. [`probe()`] reads the beginning once;
//! [`plan_chunk`] finds the passages that a chunk owns, from the bytes alone, so that workers that never speak agree;
//! [`decode_passage`] makes samples of one; [`WindowLayer`] lays the engine's windows over them. See "The chunk is
//! transport, the passage is speech" in the architecture notes.
//!
//! A new container is one file in `formats` (a probe and a [`formats::Scanner`]), a case of [`Layout`] and, if its
//! codec is new, one of [`Codec`].

mod anchor;
mod cells;
mod codec;
mod cut;
mod damage;
mod decode;
mod error;
mod formats;
mod init;
mod magic;
mod native;
mod packet;
mod passage;
mod pcm;
mod plan;
mod probe;
mod resample;
mod source;
mod window;

pub use anchor::ANCHOR_SECONDS;
pub use cut::CUT_SECONDS;
pub use error::{MediaError, ReadError};
pub use formats::mp4_layout::{FragmentTrack, SampleTable, TrackDefaults};
pub use init::{
    Codec, FlacStream, InitSection, Layout, MatroskaTrack, OggLink, PacketTable, PacketTiming, PcmFormat,
    Trim,
};
pub use native::NativeReader;
pub use passage::{PassageReader, decode_passage, engine_samples, native_passage};
pub use plan::plan_chunk;
pub use probe::probe;
pub use resample::ENGINE_RATE;
pub use scriptorium_contracts::plan::{ChunkPlan, PassagePlan};
pub use source::{ByteSource, FileSource, MemorySource};
pub use window::{LaidWindow, WindowLayer};
