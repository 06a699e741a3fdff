//! The text of one zone: its main file and what that included, as octets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All that is needed to read a zone again without its folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts {
    /// The path of the main file, relative to the zones folder.
    pub main: String,
    /// Every file read, by its path relative to the zones folder. Octets: RFC 1035 gives no character set.
    pub files: BTreeMap<String, Vec<u8>>,
}
