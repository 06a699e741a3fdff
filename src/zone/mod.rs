//! Zone files: RFC 1035 text and steering records.

pub mod name;
pub mod record;
pub mod texts;
