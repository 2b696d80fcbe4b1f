//! In place of the bridge to CTranslate2 in a build without the feature `whisper`: a model that cannot exist.

use super::request::{Answer, Request};
use super::vocab::Vocab;
use super::{EngineConfig, EngineError};

/// There is none.
#[derive(Debug)]
pub enum Model {}

impl Model {
    /// # Errors
    /// Always [`EngineError::NotBuilt`].
    pub fn load(_: &EngineConfig, _: &Vocab) -> Result<Self, EngineError> {
        Err(EngineError::NotBuilt)
    }

    pub fn is_multilingual(&self) -> bool {
        match *self {}
    }

    pub fn can_align(&self) -> bool {
        match *self {}
    }

    pub fn n_mels(&self) -> usize {
        match *self {}
    }

    pub fn run(&self, _: &[&Request]) -> Result<Vec<Answer>, EngineError> {
        match *self {}
    }
}
