//! The one task that owns the mutable state.

pub mod message;
pub mod view;
