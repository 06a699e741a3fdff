//! sled: what is kept over a restart.

pub mod kept;
