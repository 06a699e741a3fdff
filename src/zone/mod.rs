//! Zone files: RFC 1035 text and steering records.

pub mod diagnostic;
mod encoding;
mod faults;
pub mod folder;
pub mod generate;
mod lexer;
pub mod load;
mod location;
mod log;
pub mod name;
mod names;
mod prefixes;
mod rdata;
pub mod reader;
pub mod record;
pub mod records;
mod rtype;
pub mod sources;
mod span;
pub mod steering;
mod suggestion;
pub(crate) mod svcb;
pub mod texts;
mod wire;
mod words;
