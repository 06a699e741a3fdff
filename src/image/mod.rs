//! Zones as answers: what is compiled, published, and looked up.

pub mod published;

/// All zones, compiled.
#[derive(Debug, Default)]
pub struct Image;
